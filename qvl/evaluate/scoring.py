"""The third step of an evaluation: score stored answers, and tell what that changes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from qvl.evaluate.extraction import as_judged
from qvl.reward.time_limit import VERDICT_SECONDS
from qvl.reward.verdict import judge, with_verdicts

MAX_SHOWN = 120  # characters of a changed answer


@dataclass(frozen=True)
class Score:
    """Judges the stored responses of a record; can be pickled."""

    verifier: str | None = None
    seconds: float = VERDICT_SECONDS

    def __call__(self, record: dict) -> dict:
        return with_verdicts(
            record, lambda each: judge(record, as_judged(each), self.verifier, self.seconds)
        )


@dataclass
class Changes:
    """Remembers the records whose verdicts differ from those they came with."""

    first: int
    """How many to keep."""
    number: int = 0
    kept: list[dict[str, Any]] = field(default_factory=list)

    def recorded(self, score: Score) -> Callable[[dict], dict]:
        """The same, which compares each record with the verdicts it came with."""

        def scored(record: dict) -> dict:
            done = score(record)
            self.add(record, done)
            return done

        return scored

    def add(self, before: dict, after: dict) -> None:
        pairs = zip(before.get("responses") or [], after["responses"], strict=True)
        for at, (old, new) in enumerate(pairs):
            if "reward" not in old or old["reward"] == new["reward"]:
                continue
            self.number += 1
            if len(self.kept) < self.first:
                self.kept.append({"id": after["id"], "response": at, "before": old, "after": new})

    def lines(self) -> Iterator[str]:
        """A line per kept change, for a person."""
        for each in self.kept:
            old, new = each["before"], each["after"]
            read = [_brief((one.get("verdict") or {}).get("extracted")) for one in (old, new)]
            yield (
                f"changed: {each['id']} response {each['response']}: "
                f"{_reward(old)} -> {_reward(new)}, read {read[0]} -> {read[1]}"
            )
        if self.number > len(self.kept):
            yield f"changed: {self.number - len(self.kept):,} more"


def _reward(response: dict) -> str:
    return "no verdict" if response["reward"] is None else f"{response['reward']:g}"


def _brief(extracted: Any) -> str:
    text = repr(extracted)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
