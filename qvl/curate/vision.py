"""Does a question need its image? What a model solves without seeing it does not.

Qwen3-VL discards from the cold start the vision-language mathematics problems that Qwen3-30B without
thinking solves without the visual input (report 4.2.2). How often it was asked is not published.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.client.samples import Asking, Draw, begin
from qvl.curate.difficulty import wilson
from qvl.errors import CheckFailed
from qvl.pending import Pending, Settled
from qvl.record import MEDIA, images, videos
from qvl.reward import unverifiable
from qvl.reward.verdict import judge
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
    asking: Asking
    max_pass_rate: float = MAX_PASS_RATE
    verifier: str | None = None
    """For all records, in place of each task's own."""

    def begin(self, record: dict) -> Pending:
        """The record with scores["filter-vision"], or a Drop, to come. Without media: as it is."""
        if not images(record) and not videos(record):
            return Settled(record)
        problem = unverifiable(record, self.verifier)
        if problem:
            return Settled(Drop("not-verifiable", problem))
        blind = without_media(record)
        if blind is None:
            return Settled(record)
        return _Asked(self, record, blind)


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


class _Asked:
    """A record whose second half is asked as soon as the first leaves it open."""

    def __init__(self, needs: NeedsVision, record: dict, blind: dict) -> None:
        self.needs, self.record, self.blind = needs, record, blind
        self.total = needs.asking.num_samples
        self.asked = self.passed = self.errors = 0
        self.first_error = ""
        self._outcome: dict | Drop | None = None
        self._drawn = self._ask(max(1, self.total // 2))

    def done(self) -> bool:
        return self._drawn.done()

    def advance(self) -> bool:
        """In the caller's thread, where a verdict can keep its time."""
        if self._outcome is None and self._drawn.done():
            self._judge()
        return self._outcome is not None

    def result(self) -> dict | Drop:
        while self._outcome is None:
            self._judge()
        return self._outcome

    def _ask(self, count: int) -> Draw:
        asking = replace(self.needs.asking, num_samples=count)
        return begin(self.blind, self.needs.client, asking, self.asked)

    def _judge(self) -> None:
        """Judge what was drawn last, and either ask for the rest or decide."""
        try:
            responses = self._drawn.result()
        except Refused as refused:
            self._outcome = Drop("refused", str(refused))
            return
        self.asked += len(responses)
        for response in responses:
            verdict = judge(self.record, response, self.needs.verifier)
            self.passed += (verdict.reward or 0.0) >= 1.0
            if verdict.reward is None:
                self.errors += 1
                self.first_error = self.first_error or verdict.detail
        most = self.needs.max_pass_rate * self.total
        if self.asked < self.total and self.passed <= most < self.passed + self.total - self.asked:
            self._drawn = self._ask(self.total - self.asked)
        else:
            self._outcome = self._decided()

    def _decided(self) -> dict | Drop:
        row: dict[str, float] = {"asked": self.asked, "passed": self.passed}
        if self.errors:  # which are no verdicts, and say nothing of the question
            row["errors"] = self.errors
        judged = self.asked - self.errors
        if judged:
            low, high = wilson(self.passed, judged)
            rate = round(self.passed / judged, 4)
            row |= {"pass_rate": rate, "low": round(low, 4), "high": round(high, 4)}
        had = self.record.get("scores") or {}
        scored = {**self.record, "scores": {**had, STAGE: row}}
        if not judged:
            return Drop("not-judged", f"no verdict on any answer: {self.first_error}", scored)
        if self.passed > self.needs.max_pass_rate * judged:
            told = f"{self.passed} of {judged} pass without the image"
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
