"""Does a question need its image? What a model solves without seeing it does not.

Qwen3-VL discards from the cold start the vision-language mathematics problems that Qwen3-30B without
thinking solves without the visual input (report 4.2.2). How often it was asked is not published.
"""

import re
from dataclasses import dataclass
from typing import Any

from qvl.client import Client
from qvl.curate.selection.difficulty import wilson
from qvl.errors import CheckFailed
from qvl.pending import Pending, Ready
from qvl.record import MEDIA, images, videos
from qvl.reward.verdict import judge, unverifiable
from qvl.sampling.rounds import Rounds, Tally, sizes
from qvl.sampling.samples import SamplingConfig
from qvl.stage import Drop

STAGE = "filter-vision"
NUM_SAMPLES = 4  # our choice
MAX_PASS_RATE = 0.5  # our choice: solved by chance now and then is not solved
FEWEST_ERRORS = 10  # below, a rate of them says little: our choice
PLACEHOLDER = re.compile(
    r"(?:<\|vision_start\|>|<\|(?:image|video)_pad\|>|<\|vision_end\|>|<(?:image|video)\b[^>]*>)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class NeedsVision:
    """Asks a record's question without its media, half of the samples first: where those settle it,
    the others are not asked for."""

    client: Client
    asking: SamplingConfig
    max_pass_rate: float = MAX_PASS_RATE
    verifier: str | None = None
    """For all records, in place of each task's own."""

    def submit(self, record: dict) -> Pending:
        """The record with scores["filter-vision"], or a Drop, to come. Without media: as it is."""
        if not images(record) and not videos(record):
            return Ready(record)
        problem = unverifiable(record, self.verifier)
        if problem:
            return Ready(Drop("not-verifiable", problem))
        blind = without_media(record)
        if blind is None:
            return Ready(record)
        return Rounds(
            blind,
            self.client,
            self.asking,
            sizes(self.asking.num_samples, 2),
            self.max_pass_rate,
            lambda response: judge(record, response, self.verifier),
            lambda tally, _: _decided(record, tally, self.max_pass_rate),
            lambda refused: Drop("refused", str(refused)),
        )


class Errors:
    """Counts verdicts that could not be given; CheckFailed where they are too many."""

    def __init__(self, most: float) -> None:
        self.most, self.asked, self.errors = most, 0, 0

    def watch(self, result: dict | Drop) -> None:
        record: Any = result.record if isinstance(result, Drop) else result
        row = ((record or {}).get("scores") or {}).get(STAGE) or {}
        self.asked += row.get("asked", 0)
        self.errors += row.get("errors", 0)
        too_many = self.errors > max(FEWEST_ERRORS - 1, self.most * self.asked)
        if row.get("errors") and too_many:
            raise CheckFailed(
                f"no verdict on {self.errors:,} of {self.asked:,} answers, over --max-error-rate "
                f"{self.most:g}, as of record {record['id']!r}; what was done is kept"
            )


def _decided(record: dict, tally: Tally, max_pass_rate: float) -> dict | Drop:
    row: dict[str, float] = {"asked": tally.asked, "passed": tally.passed}
    if tally.errors:  # which are no verdicts, and say nothing of the question
        row["errors"] = tally.errors
    if tally.judged:
        low, high = wilson(tally.passed, tally.judged)
        rate = round(tally.passed / tally.judged, 4)
        row |= {"pass_rate": rate, "low": round(low, 4), "high": round(high, 4)}
    had = record.get("scores") or {}
    scored = {**record, "scores": {**had, STAGE: row}}
    if not tally.judged:
        return Drop("not-judged", f"no verdict on any answer: {tally.first_error}", scored)
    if tally.passed > max_pass_rate * tally.judged:
        told = f"{tally.passed} of {tally.judged} pass without the image"
        return Drop("solved-blind", told, scored)
    return scored


def without_media(record: dict) -> dict | None:
    """The record up to the answer, with the text of its turns alone; None where a user turn has no
    text of its own."""
    messages = []
    turns = record["messages"]
    if turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    for message in turns:
        content = message.get("content")
        if isinstance(content, list):
            words = (part["text"] for part in content if part.get("type") not in MEDIA)
            content = "\n".join(filter(None, (PLACEHOLDER.sub("", each).strip() for each in words)))
        elif isinstance(content, str):
            content = PLACEHOLDER.sub("", content).strip()
        if message["role"] == "user" and not content:
            return None
        messages.append({**message, "content": content})
    return {**record, "messages": messages}
