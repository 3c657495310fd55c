"""Does a question need its image? What a model solves without seeing it does not.

Qwen3-VL discards from the cold start the vision-language mathematics problems that Qwen3-30B without
thinking solves without the visual input (report 4.2.2). How often it was asked is not published.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.client.samples import Asking, Draw, begin
from qvl.curate.difficulty import wilson
from qvl.record import MEDIA, images, videos
from qvl.reward import unverifiable
from qvl.reward.verdict import judge
from qvl.stage import Drop, Pending, Settled

STAGE = "filter-vision"
NUM_SAMPLES = 4  # our choice
MAX_PASS_RATE = 0.5  # our choice: solved by chance now and then is not solved
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
        first = replace(self.asking, num_samples=max(1, self.asking.num_samples // 2))
        drawn = begin(blind, self.client, first)
        return _Asked(drawn, lambda: self._decided(record, blind, drawn))

    def _decided(self, record: dict, blind: dict, drawn: Draw) -> dict | Drop:
        total = self.asking.num_samples
        try:
            passed, asked = self._passed(record, drawn), len(drawn.futures)
            most = self.max_pass_rate * total
            if passed <= most < passed + total - asked:
                rest = replace(self.asking, num_samples=total - asked)
                passed += self._passed(record, begin(blind, self.client, rest, asked))
                asked = total
        except Refused as refused:
            return Drop("refused", str(refused))
        low, high = wilson(passed, asked)
        row = {
            "asked": asked,
            "passed": passed,
            "pass_rate": round(passed / asked, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
        scored = {**record, "scores": {**(record.get("scores") or {}), STAGE: row}}
        if passed > most:
            return Drop("solved-blind", f"{passed} of {asked} pass without the image", scored)
        return scored

    def _passed(self, record: dict, drawn: Draw) -> int:
        verdicts = (judge(record, response, self.verifier) for response in drawn.result())
        return sum((verdict.reward or 0.0) >= 1.0 for verdict in verdicts)


@dataclass(frozen=True)
class _Asked:
    drawn: Draw
    decided: Callable[[], Any]

    def done(self) -> bool:
        return self.drawn.done()

    def result(self) -> Any:
        """In the caller's thread, where a verdict can keep its time."""
        return self.decided()


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
