"""Samples in fixed rounds, each judged before the next is asked for: what is settled costs no more.

A record has one of two classes: more than a rate of its samples pass, or not. It is settled as soon as
no further sample could change that. The rounds' sizes follow from nothing but the number of samples,
so that a run that is resumed, or answered in another order, asks the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.reward import Verdict
from qvl.sampling.samples import Draw, SamplingConfig, submit
from qvl.stage import Drop


@dataclass
class Tally:
    """What is known of `total` samples so far."""

    total: int
    asked: int = 0
    passed: int = 0
    errors: int = 0
    """verdicts that could not be given, which say neither yes nor no"""
    first_error: str = ""

    @property
    def judged(self) -> int:
        return self.asked - self.errors

    def add(self, verdict: Verdict) -> None:
        self.asked += 1
        self.passed += (verdict.reward or 0.0) >= 1.0
        if verdict.reward is None:
            self.errors += 1
            self.first_error = self.first_error or verdict.detail

    def is_settled(self, max_pass_rate: float) -> bool:
        """Whether the rate of those judged so far is on the side where that of all will be.

        passed > r N: then it is over r of fewer, too. passed + N - asked + errors <= r N: then passed
        is at most r (asked - errors), as 1 - r >= 0.
        """
        most = max_pass_rate * self.total
        unknown = self.total - self.asked + self.errors
        return self.passed > most or self.passed + unknown <= most


Judged = tuple[dict, Verdict | None]  # a response and what is said of it


class Rounds:
    """A record's samples to come (qvl.pending.Stepwise), in rounds until its class is settled."""

    def __init__(
        self,
        asked: dict,
        client: Client,
        asking: SamplingConfig,
        sizes: Sequence[int],
        max_pass_rate: float,
        judge: Callable[[dict], Verdict] | None,
        outcome: Callable[[Tally, list[Judged]], dict | Drop],
        refused: Callable[[Refused], dict | Drop],
        first: int = 0,
    ) -> None:
        """asked: the record as the endpoint sees it. sizes: samples a round. judge: None where nothing
        can judge it, and one round is all. outcome: what is made of the samples, in order. first: the
        number of the first sample."""
        self._record, self._client, self._asking = asked, client, asking
        self._sizes, self._max_pass_rate, self._first = list(sizes), max_pass_rate, first
        self._judge_one, self._finish, self._refused = judge, outcome, refused
        self.tally = Tally(sum(sizes))
        self._judged: list[Judged] = []
        self._outcome: dict | Drop | None = None
        self._drawn = self._ask()

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

    def _ask(self) -> Draw:
        asking = replace(self._asking, num_samples=self._sizes.pop(0))
        return submit(self._record, self._client, asking, self._first + self.tally.asked)

    def _judge(self) -> None:
        """Judge what was drawn last, and either ask for the next round or end."""
        try:
            responses = self._drawn.result()
        except Refused as refused:
            self._outcome = self._refused(refused)
            return
        for response in responses:
            verdict = self._judge_one(response) if self._judge_one else None
            if verdict:
                self.tally.add(verdict)
            self._judged.append((response, verdict))
        if self._sizes and not self.tally.is_settled(self._max_pass_rate):
            self._drawn = self._ask()
        else:
            self._outcome = self._finish(self.tally, self._judged)


def sizes(total: int, rounds: int) -> list[int]:
    """`total` samples in so many rounds, the larger ones last: 16 in 4 are 4, 4, 4, 4; 5 in 2: 2, 3."""
    ends = [total * (index + 1) // rounds for index in range(rounds)]
    found = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [size for size in found if size]
