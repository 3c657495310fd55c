"""Score a response: `judge`, the only way that qvl runs a verifier.

Its status is ok, timeout or error. A verdict has a reward if it is ok, or if a program that is judged ran
out of its own time. A verifier that fails gives no reward, never 0.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, NamedTuple

from qvl import reward
from qvl.errors import UserError
from qvl.processes import Worker
from qvl.reward import Unverifiable, Verdict
from qvl.reward.reading.extract import final
from qvl.reward.time_limit import VERDICT_SECONDS, OutOfTime, TimeLimit

MAX_DETAIL = 200  # characters of an error
FLAG = "--verifier"


def judge(
    record: dict,
    response: dict,
    verifier: str | None = None,
    seconds: float = VERDICT_SECONDS,
    options: Mapping[str, bool] | None = None,
) -> Verdict:
    """The verdict of `verifier`, else of the verifier of the record's task.

    Call it in the main thread, where an alarm enforces the time limit; elsewhere only if `is_threadsafe`.
    A user's function runs in a separate process, which is killed after `seconds`.

    verifier: the value of --verifier.
    options: partial and unsafe_local, for verifiers with a `judge`; see qvl.reward.verify.
    A UserError other than Unverifiable is an error of the machine or the command line, and is raised.
    """
    try:
        return _judge(record, response, verifier, seconds, options)
    except (OutOfTime, TimeoutError):
        return _failed(record, verifier, "timeout", f"no verdict within {seconds:g} s")
    except Unverifiable as error:
        return _failed(record, verifier, "error", str(error))
    except UserError:
        raise
    except MemoryError as error:  # a process that died raises it with its status
        return _failed(record, verifier, "error", str(error) or "out of memory")
    except Exception as error:  # noqa: BLE001 (a verifier's crash is a result, reported and counted)
        return _failed(record, verifier, "error", f"{type(error).__name__}: {error}")


def unverifiable(
    record: dict, verifier: str | None = None, seconds: float = VERDICT_SECONDS
) -> str | None:
    """The reason why no response to this record can be judged; None if one can.

    Call it before responses are requested. A verifier that crashes or times out on an empty response may
    still judge another.
    """
    try:
        _judge(record, {"content": ""}, verifier, seconds, None)
    except Unverifiable as error:
        return str(error)
    except UserError:
        raise
    except (OutOfTime, Exception):  # noqa: BLE001 (each response gets this as its own verdict)
        return None
    return None


def extracted(record: dict, response: dict, verifier: str | None = None) -> Any:
    """The final answer as the verifier reads it, unjudged; of one that reads the whole text, the final answer.

    UserError for a task without a verifier.
    """
    name = _name(record, verifier)
    if not name:
        raise Unverifiable("no task, which names the verifier")
    return _load(name, from_flag=bool(verifier)).extract(response)


def is_threadsafe(record: dict, verifier: str | None = None) -> bool:
    """Whether `judge` may run outside the main thread, because the verifier needs no alarm."""
    try:
        found = _load(_name(record, verifier), from_flag=bool(verifier))
    except UserError:
        return False  # `judge` reports the error
    return found.judge is not None or found.is_users


def compares_words(task: str) -> bool:
    """Whether the task's verifier compares the final answer as text."""
    return _load(task, from_flag=False).compares_words


def with_verdict(response: dict, verdict: Verdict) -> dict:
    """The response with its verdict and reward, which replace those of an earlier run."""
    rewards = dict(response.get("rewards") or {})
    rewards.pop(verdict.verifier, None)
    if verdict.reward is not None:
        rewards[verdict.verifier] = verdict.reward
    facts = {
        "verifier": verdict.verifier,
        "status": verdict.status,
        "extracted": verdict.extracted,
        "detail": verdict.detail,
    }
    return {**response, "reward": verdict.reward, "rewards": rewards, "verdict": facts}


def with_verdicts(record: dict, verdict: Callable[[dict], Verdict]) -> dict:
    """The record whose responses have the verdict that is computed of each."""
    given = record.get("responses") or []
    return {**record, "responses": [with_verdict(each, verdict(each)) for each in given]}


def _judge(
    record: dict,
    response: dict,
    verifier: str | None,
    seconds: float,
    options: Mapping[str, bool] | None,
) -> Verdict:
    """As `judge`, but exceptions of the verifier are raised."""
    name = _name(record, verifier)
    if not name:
        raise Unverifiable("no task, which names the verifier")
    found = _load(name, from_flag=bool(verifier))
    if found.judge is not None:
        done = found.judge(record, response, **(options or {}))
        return Verdict(done.status, done.reward, done.extracted, done.detail, name)
    if found.is_users:
        bare = {field: value for field, value in record.items() if field != "responses"}
        value = _number(_users_process(seconds, name, bare, response))
        return Verdict("ok", value, found.extract(response), "", name)
    _limit.start(seconds)
    try:
        value = _number(found.score(record, response))
        extracted = found.extract(response)
    finally:
        _limit.stop()
    return Verdict("ok", value, extracted, "", name)


def _failed(
    record: dict, verifier: str | None, status: Literal["timeout", "error"], detail: str
) -> Verdict:
    short = " ".join(detail.split())[:MAX_DETAIL]
    return Verdict(status, None, None, short, _name(record, verifier))


def _name(record: dict, verifier: str | None) -> str:
    return verifier or record.get("task") or ""


class _Verifier(NamedTuple):
    """The exports of a verifier's module, or a user's function; see qvl.reward."""

    score: reward.Reward
    judge: Callable[..., Any] | None
    extract: Callable[[dict], Any]
    compares_words: bool
    is_users: bool
    """A user's function, which may hang in C code that no alarm interrupts."""


@lru_cache(maxsize=64)
def _load(name: str, *, from_flag: bool) -> _Verifier:
    score = reward.find(name, FLAG if from_flag else None)
    where = reward.REWARDS.get(name, name if name.startswith("qvl.") else None)
    module: Any = import_module(where.partition(":")[0]) if where else None
    return _Verifier(
        score,
        getattr(module, "judge", None),
        getattr(module, "extract", final),
        getattr(module, "COMPARES_WORDS", False),
        where is None,
    )


def users_score(name: str, record: dict, response: dict) -> Any:
    """The return value of a user's function. Runs in a separate process."""
    return reward.find(name)(record, response)


_users_process = Worker(users_score)  # without a memory limit: the function may load a model
_limit = TimeLimit()


def _number(value: Any) -> float:
    """The reward that a verifier returned, as a float; ValueError if it is not from 0 to 1."""
    if isinstance(value, bool):
        return float(value)
    # In this form a comparison with NaN is False, so that NaN is rejected.
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"the verifier returned {value!r}; expected a number from 0 to 1")
    return float(value)
