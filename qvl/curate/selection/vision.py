"""Which questions need their image: those that a model does not solve without it.

Qwen3-VL discards from the cold start the vision-language mathematics problems that Qwen3-30B without
thinking solves without the visual input (report 4.2.2). The number of samples is not published.
"""

import re
from dataclasses import dataclass
from typing import Any

from qvl.client import Client
from qvl.intervals import wilson
from qvl.pending import Pending, Ready
from qvl.record import MEDIA, media_kind, prompt, scores_of, with_scores
from qvl.reward.verdict import judge, unverifiable
from qvl.sampling.rounds import PassCount, Rounds, sizes
from qvl.sampling.samples import SamplingConfig
from qvl.stage import Drop

STAGE = "filter-vision"
NUM_SAMPLES = 4  # our choice
MAX_PASS_RATE = 0.5  # our choice: a question may be solved by chance
PLACEHOLDER = re.compile(
    r"(?:<\|vision_start\|>|<\|(?:image|video)_pad\|>|<\|vision_end\|>|<(?:image|video)\b[^>]*>)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class NeedsVision:
    """Samples a record's question without its media, half of the samples first: if those settle it, the
    others are not requested."""

    client: Client
    config: SamplingConfig
    max_pass_rate: float = MAX_PASS_RATE
    verifier: str | None = None
    """For all records, in place of each task's own."""

    def submit(self, record: dict) -> Pending:
        """The record with scores["filter-vision"], or a Drop, to come. Without media: as it is."""
        if media_kind(record) == "text":
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
            self.config,
            sizes(self.config.num_samples, 2),
            self.max_pass_rate,
            lambda response: judge(record, response, self.verifier),
            lambda count, _: _decided(record, count, self.max_pass_rate),
            refused=record,
        )

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """How many verdicts were requested, how many of them are errors, and on which record."""
        record: Any = result.record if isinstance(result, Drop) else result
        if record is None or (isinstance(result, Drop) and result.reason == "refused"):
            return 0, 0, ""
        row = scores_of(record, STAGE)
        return row.get("asked", 0), row.get("errors", 0), f"record {record['id']!r}"


def _decided(record: dict, count: PassCount, max_pass_rate: float) -> dict | Drop:
    row: dict[str, float] = {"asked": count.sampled, "passed": count.passed}
    if count.errors:  # they count neither for nor against the question
        row["errors"] = count.errors
    if count.judged:
        low, high = wilson(count.passed / count.judged, count.judged)
        rate = round(count.passed / count.judged, 4)
        row |= {"pass_rate": rate, "low": round(low, 4), "high": round(high, 4)}
    scored = with_scores(record, STAGE, row)
    if not count.judged:
        return Drop("not-judged", f"no verdict on any answer: {count.first_error}", scored)
    if count.passed > max_pass_rate * count.judged:
        rate = f"{count.passed} of {count.judged} pass without the image"
        return Drop("solved-blind", rate, scored)
    return scored


def without_media(record: dict) -> dict | None:
    """The record before the answer, with the text of its turns alone; None if a user turn has no text."""
    messages = []
    for message in prompt(record):
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
