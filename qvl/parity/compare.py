"""Compare the log-probabilities of two sides token by token, in total for each class of token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qvl.errors import CheckFailed
from qvl.pack import token_classes

TOLERANCE = 1e-4  # in nats, fp32: our choice; implementations differ by about 1e-6
NEXT = "next-token"  # the token that an engine generates next, from its caches
CLASSES = (*token_classes.CLASSES, NEXT)


@dataclass
class Difference:
    """The differences between two log-probabilities over some tokens, in nats."""

    tokens: int = 0
    sum: float = 0.0
    largest: float = 0.0

    def add(self, difference: float) -> None:
        self.tokens += 1
        self.sum += difference
        # Comparisons with NaN are false: a NaN must not look like agreement.
        if not difference <= self.largest:
            self.largest = difference

    def row(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens,
            "largest": self.largest,
            "mean": self.sum / max(1, self.tokens),
        }


class Differences:
    """The differences over all records."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.classes = {name: Difference() for name in CLASSES}
        self.over = 0  # records
        self.first = ""

    def add(self, name: str, kinds: Sequence[str], ours: Any, theirs: Any) -> dict[str, Any]:
        """Compare a record, and return its differences by class of token.

        kinds: the class of each token that `ours` and `theirs` have a log-probability of.
        """
        own = {kind: Difference() for kind in CLASSES}
        worst, place = 0.0, 0
        for index, (kind, one, other) in enumerate(zip(kinds, ours, theirs, strict=True)):
            difference = abs(float(one) - float(other))
            own[kind].add(difference)
            self.classes[kind].add(difference)
            if not difference <= worst:
                worst, place = difference, index
        if not worst <= self.tolerance:
            self.differ(name, f"{worst:.3g} at token {place + 1}, {kinds[place]}")
        return {kind: each.row() for kind, each in own.items() if each.tokens}

    def compare_ids(
        self, name: str, ours: Sequence[int], theirs: Sequence[int]
    ) -> dict[str, Any] | None:
        """Compare the ids of a record's tokens; return a row if they differ."""
        difference = first_difference(ours, theirs)
        if difference is None:
            return None
        self.differ(name, difference)
        return {"ids": difference}

    def differ(self, name: str, what: str) -> None:
        """Count a record that differs."""
        self.over += 1
        self.first = self.first or f"record {name!r}: {what}"

    def facts(self) -> dict[str, str]:
        """The largest and mean difference of each class, for the summary."""
        return {
            kind: f"{each.largest:.3g} (mean {each.sum / each.tokens:.2g} of {each.tokens:,})"
            for kind, each in self.classes.items()
            if each.tokens
        }

    def check(self) -> None:
        """CheckFailed if a record differs by more than the tolerance."""
        if self.over:
            raise CheckFailed(
                f"{self.over:,} records differ by more than {self.tolerance:g}; the first: {self.first}"
            )


def first_difference(ours: Sequence[int], theirs: Sequence[int]) -> str | None:
    """A description of where two lists of ids first differ; None if they are equal."""
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return f"token {place} is {one} here and {other} there"
    if len(ours) != len(theirs):
        return f"{len(ours)} tokens here and {len(theirs)} there"
    return None
