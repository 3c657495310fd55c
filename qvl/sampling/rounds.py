"""Samples in fixed rounds, each judged before the next is requested: a settled record costs no more.

A record has one of two classes: more than a rate of its samples pass, or not. It is settled as soon as
no further sample could change that. The sizes of the rounds depend on the number of samples alone,
so that a run that is resumed, or answered in another order, requests the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qvl.client import Client, Refused
from qvl.reward import Verdict
from qvl.sampling.samples import Samples, SamplingConfig, submit
from qvl.stage import Drop

Judged = tuple[dict, Verdict]  # a response and its verdict


@dataclass
class PassCount:
    """How many of `total` samples were judged so far, and how many of those pass."""

    total: int
    sampled: int = 0
    passed: int = 0
    errors: int = 0
    """verdicts that could not be given, which count neither way"""
    first_error: str = ""

    @property
    def judged(self) -> int:
        return self.sampled - self.errors

    def add(self, verdict: Verdict) -> None:
        self.sampled += 1
        self.passed += (verdict.reward or 0.0) >= 1.0
        if verdict.reward is None:
            self.errors += 1
            self.first_error = self.first_error or verdict.detail

    def is_settled(self, max_pass_rate: float) -> bool:
        """Whether the pass rate of the samples so far is on the side where that of all will be.

        With rate r and N samples in all: passed > r N, then it is over r of fewer samples, too; or
        passed + N - sampled + errors <= r N, then passed <= r (sampled - errors), as 1 - r >= 0.
        """
        most = max_pass_rate * self.total
        unknown = self.total - self.sampled + self.errors
        return self.passed > most or self.passed + unknown <= most


class Rounds:
    """A record's samples to come (qvl.pending.Stepwise), in rounds until its class is settled."""

    def __init__(
        self,
        record: dict,
        client: Client,
        config: SamplingConfig,
        sizes: Sequence[int],
        max_pass_rate: float,
        judge: Callable[[dict], Verdict],
        finish: Callable[[PassCount, list[Judged]], dict | Drop],
        *,
        refused: dict | None = None,
        first: int = 0,
    ) -> None:
        """sizes: samples per round. judge: gives a response its verdict. finish: makes the result of
        the samples, in order. refused: what is dropped where the endpoint refuses, if not `record`.
        first: the number of the first sample."""
        self._record, self._client, self._config = record, client, config
        self._sizes, self._max_pass_rate, self._first = list(sizes), max_pass_rate, first
        self._judge, self._finish = judge, finish
        self._refused = record if refused is None else refused
        self._count = PassCount(sum(sizes))
        self._judged: list[Judged] = []
        self._result: dict | Drop | None = None
        self._samples = self._request()

    def done(self) -> bool:
        return self._samples.done()

    def advance(self) -> bool:
        """Runs in the caller's thread, where a verdict's clock works."""
        if self._result is None and self._samples.done():
            self._judge_round()
        return self._result is not None

    def result(self) -> dict | Drop:
        while self._result is None:
            self._judge_round()
        return self._result

    def _request(self) -> Samples:
        config = replace(self._config, num_samples=self._sizes.pop(0))
        return submit(self._record, self._client, config, self._first + self._count.sampled)

    def _judge_round(self) -> None:
        """Judge the latest samples, and either request the next round or finish."""
        try:
            responses = self._samples.result()
        except Refused as refused:
            self._result = Drop("refused", str(refused), self._refused)
            return
        for response in responses:
            verdict = self._judge(response)
            self._count.add(verdict)
            self._judged.append((response, verdict))
        if self._sizes and not self._count.is_settled(self._max_pass_rate):
            self._samples = self._request()
        else:
            self._result = self._finish(self._count, self._judged)


def sizes(total: int, rounds: int) -> list[int]:
    """The sizes of `rounds` rounds with `total` samples, larger ones last: 16 in 4: 4, 4, 4, 4; 5 in 2: 2, 3."""
    ends = [total * (index + 1) // rounds for index in range(rounds)]
    found = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [size for size in found if size]
