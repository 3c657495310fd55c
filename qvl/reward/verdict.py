"""What a verifier says of a response: a reward, or that there is none and why.

A crash, a time-out and a success are three results. Only a verdict that is "ok", or a program that
ran out of its own time, has a reward; a verifier that failed gives none, and never 0.
"""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, NamedTuple

from qvl import reward, stage
from qvl.errors import CheckFailed, UserError
from qvl.reward import Unverifiable, hybrid
from qvl.reward.killable import Killable
from qvl.reward.reading.extract import final

SECONDS = 10.0  # for a verdict that keeps no time of its own: our choice
ENOUGH = 200  # verdicts from which on the rate of errors is trusted before the end: our choice
MAX_TOLD = 200  # characters of an error
AGAIN_SECONDS = 1.0  # a verifier that swallows the first alarm gets another
SET_EVERY = 0.05  # seconds


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
    partial: bool = False
    """Code: the share of the tests that passed, in place of all or nothing."""
    unsafe_local: bool = False
    """Code: run without isolation where there is none."""
    stage: str | None = None
    """Of hybrid.STAGES: more parts than the verifier's make a reward."""
    penalties: Mapping[str, float] = field(default_factory=dict)
    """Taken from every reward, with their weights."""

    def __call__(self, record: dict) -> dict:
        if not (self.stage or self.penalties):
            return self.verified(record)
        wanted = hybrid.parts(record, self.stage, self.penalties)
        for name in (hybrid.JUDGE, hybrid.SCORE):
            if name in wanted:
                raise UserError(hybrid.unjudged(record, name))
        done = self.verified(record)
        return {
            **done,
            "responses": [self.weighed(record, one, wanted) for one in done["responses"]],
        }

    def weighed(self, record: dict, response: dict, wanted: hybrid.Parts) -> dict:
        """A response whose reward is the sum of its parts, those of models included if they are there."""
        return hybrid.combined(hybrid.penalised(record, response, wanted), wanted)

    def verified(self, record: dict) -> dict:
        """The record with its verifier's verdict on each response."""
        given = record.get("responses") or []
        options = {"partial": self.partial, "unsafe_local": self.unsafe_local}
        verdicts = (judge(record, each, self.verifier, self.seconds, options) for each in given)
        judged = [told(each, verdict) for each, verdict in zip(given, verdicts, strict=True)]
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
    record: dict,
    response: dict,
    name: str | None = None,
    seconds: float = SECONDS,
    options: Mapping[str, bool] | None = None,
) -> Verdict:
    """The verdict of the verifier `name`, else of the task's. Called in the main thread: an alarm
    keeps the time, which interrupts Python and its regular expressions but no other C code. A user's
    function runs in a process of its own, which is ended.

    options: of verifiers that run programs, partial and unsafe_local; see Verify.
    UserError, other than Unverifiable, is the machine's or the command line's fault and is raised.
    """
    verifier = name or record.get("task") or ""

    try:
        if not verifier:
            raise Unverifiable("no task, which names the verifier")
        found = _found(verifier)
        if found.judge is not None:
            said = found.judge(record, response, **(options or {}))
            return Verdict(verifier, said.status, said.reward, said.extracted, said.detail)
        if found.users:
            asked = {name: each for name, each in record.items() if name != "responses"}
            value = _number(_users(seconds, verifier, asked, response))
            return Verdict(verifier, "ok", value, found.extract(response))
        _clock.start(seconds)
        try:
            value = _number(found.score(record, response))
            extracted = found.extract(response)
        finally:
            _clock.stop()
        return Verdict(verifier, "ok", value, extracted)
    except (OutOfTime, TimeoutError):
        return _failed(verifier, "timeout", f"no verdict within {seconds:g} s")
    except Unverifiable as error:
        return _failed(verifier, "error", str(error))
    except UserError:
        raise
    except MemoryError as error:  # as a process that ended says it
        return _failed(verifier, "error", str(error) or "out of memory")
    except Exception as error:  # noqa: BLE001 (a verifier's crash is a result, told and counted)
        return _failed(verifier, "error", f"{type(error).__name__}: {error}")


def _failed(verifier: str, status: Literal["timeout", "error"], detail: str) -> Verdict:
    return Verdict(verifier, status, None, None, " ".join(detail.split())[:MAX_TOLD])


class _Found(NamedTuple):
    """What a verifier's module has, or a user's function alone."""

    score: reward.Reward
    judge: Callable[..., Any] | None
    """Tells more, and keeps time itself."""
    extract: Callable[[dict], Any]
    users: bool
    """A user's own, which may be stuck in C code, that no alarm interrupts."""


def users_score(name: str, record: dict, response: dict) -> Any:
    """What a user's function gives, in a process of its own."""
    return reward.find(name)(record, response)


_users = Killable(f"{__name__}:users_score", memory=None)  # it may load a model


@lru_cache(maxsize=64)
def _found(verifier: str) -> _Found:
    score = reward.find(verifier)
    where = reward.REWARDS.get(verifier)
    module = import_module(where.partition(":")[0]) if where else None
    extract = getattr(module, "extract", final)
    return _Found(score, getattr(module, "judge", None), extract, where is None)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    # In this order: comparisons are quick, and with not-a-number false.
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"it gave {value!r}; a reward is a number from 0 to 1")
    return float(value)


class _Clock:
    """Raises OutOfTime in a verdict that takes too long, and again each second until it ends.

    To set an alarm for each verdict would cost more than most verdicts do. One is set now and then;
    when it rings it looks at how long the present verdict has had.
    """

    def __init__(self) -> None:
        self._seconds, self._started, self._set_at = 0.0, 0.0, -math.inf
        self._running = False

    def start(self, seconds: float) -> None:
        self._started = now = time.monotonic()
        if seconds != self._seconds or now - self._set_at > SET_EVERY:
            signal.signal(signal.SIGALRM, self._ring)  # a verifier may have set its own
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
            self._seconds, self._set_at = seconds, now
        self._running = True

    def stop(self) -> None:
        self._running = False

    def _ring(self, *_: object) -> None:
        self._set_at = -math.inf
        if not self._running:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        left = self._started + self._seconds - time.monotonic()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left, AGAIN_SECONDS)
        else:
            raise OutOfTime


_clock = _Clock()


class Totals:
    """Counts verdicts as records pass; too many responses without a reward stop the run."""

    def __init__(self, max_error_rate: float = stage.MAX_ERROR_RATE) -> None:
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
