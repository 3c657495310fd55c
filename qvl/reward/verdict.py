"""What a verifier says of a response: a reward, or that there is none and why.

A crash, a time-out and a success are three results. Only a verdict that is "ok", or a program that
ran out of its own time, has a reward; a verifier that failed gives none, and never 0.
"""

import math
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, NamedTuple

from qvl import reward
from qvl.errors import CheckFailed, UserError
from qvl.reward import Unverifiable
from qvl.reward.extract import final

SECONDS = 10.0  # for a verdict that keeps no time of its own: our choice
MAX_ERROR_RATE = 0.05  # of the responses: our choice
ENOUGH = 200  # verdicts from which on the rate of errors is trusted before the end: our choice
MAX_TOLD = 200  # characters of an error
AGAIN_SECONDS = 1.0  # a verifier that swallows the first alarm gets another


class OutOfTime(BaseException):
    """The verdict took too long. No Exception, so that a verifier's own handlers let it pass."""


class Verdict(NamedTuple):
    """One response's; `reward` goes from 0 to 1."""

    verifier: str
    status: Literal["ok", "timeout", "error"]
    reward: float | None
    """None where there is no verdict."""
    extracted: Any = None
    """The final answer that was judged."""
    detail: str = ""


@dataclass(frozen=True)
class Verify:
    """Adds reward, rewards and verdict to each of a record's responses; can be pickled."""

    verifier: str | None = None
    """For all records, in place of each task's own."""
    seconds: float = SECONDS

    def __call__(self, record: dict) -> dict:
        given = record.get("responses") or []
        judged = [told(each, judge(record, each, self.verifier, self.seconds)) for each in given]
        return {**record, "responses": judged}


def told(response: dict, verdict: Verdict) -> dict:
    """The response with its verdict; what an earlier run of this verifier said is replaced."""
    rewards = dict(response.get("rewards") or {})
    rewards.pop(verdict.verifier, None)
    if verdict.reward is not None:
        rewards[verdict.verifier] = verdict.reward
    facts = verdict._asdict()
    del facts["reward"]
    return {**response, "reward": verdict.reward, "rewards": rewards, "verdict": facts}


def judge(
    record: dict, response: dict, name: str | None = None, seconds: float = SECONDS
) -> Verdict:
    """The verdict of the verifier `name`, else of the task's. Called in the main thread: an alarm
    keeps the time, which interrupts Python and its regular expressions but no other C code.

    UserError, other than Unverifiable, is the machine's or the command line's fault and is raised.
    """
    verifier = name or record.get("task") or ""

    def failed(status: Literal["timeout", "error"], detail: str) -> Verdict:
        return Verdict(verifier, status, None, None, " ".join(detail.split())[:MAX_TOLD])

    try:
        if not verifier:
            raise Unverifiable("no task, which names the verifier")
        module = _module(verifier)
        own = getattr(module, "judge", None)  # such a one tells more, and keeps time itself
        if own is not None:
            said = own(record, response)
            return Verdict(verifier, said.status, said.reward, said.extracted, said.detail)
        score = reward.find(verifier)
        _set_alarm(seconds)
        try:
            value = _number(score(record, response))
            extracted = getattr(module, "extract", final)(response)
        finally:
            _set_alarm(0)
        return Verdict(verifier, "ok", value, extracted)
    except OutOfTime:
        return failed("timeout", f"no verdict within {seconds:g} s")
    except Unverifiable as error:
        return failed("error", str(error))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 (a verifier's crash is a result, told and counted)
        return failed("error", f"{type(error).__name__}: {error}")


def _module(verifier: str) -> Any:
    """The module of a verifier of ours; None for a user's function, which is only a function."""
    where = reward.REWARDS.get(verifier)
    return import_module(where.partition(":")[0]) if where else None


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"it gave {value!r}; a reward is a number from 0 to 1")
    return float(value)


def _ring(*_: object) -> None:
    raise OutOfTime


def _set_alarm(seconds: float) -> None:
    """Raise OutOfTime after so long, and again each second until it is set to 0."""
    if signal.getsignal(signal.SIGALRM) is not _ring:
        signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)


class Totals:
    """Counts verdicts as records pass; too many responses without a reward stop the run."""

    def __init__(self, max_error_rate: float = MAX_ERROR_RATE) -> None:
        self.max_error_rate = max_error_rate
        self.statuses: Counter[str] = Counter()
        self.rewarded, self.sum, self.first = 0, 0.0, ""

    def watch(self, records: Iterable[dict], note: Callable[..., None]) -> Iterator[dict]:
        """The records unchanged; `note` is told the totals. CheckFailed over the rate of errors."""
        for record in records:
            for response in record["responses"]:
                self._add(record, response)
            if self.statuses.total() >= ENOUGH:
                self._check()
            yield record
        self._check()
        facts: dict[str, Any] = {"responses": self.statuses.total()}
        facts |= {status: self.statuses[status] for status in ("ok", "timeout", "error")}
        if self.rewarded:
            facts["mean_reward"] = self.sum / self.rewarded
        note(**facts)

    def _add(self, record: dict, response: dict) -> None:
        verdict = response["verdict"]
        self.statuses[verdict["status"]] += 1
        if response["reward"] is None:
            self.first = self.first or f"record {record.get('id')!r}: {verdict['detail']}"
        else:
            self.rewarded += 1
            self.sum += response["reward"]

    def _check(self) -> None:
        total = self.statuses.total()
        without = total - self.rewarded
        if without > self.max_error_rate * total:
            raise CheckFailed(
                f"no verdict on {without:,} of {total:,} responses, over --max-error-rate "
                f"{self.max_error_rate:g}; the first: {self.first}"
            )
