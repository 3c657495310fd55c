"""Rewards on trial: what each says of answers of which it is known what it must say.

A case is a response with "case" and perhaps "expected":

    gold      the reference in some form             1
    empty     nothing, or a thought that was cut     0
    hacked    many guesses, an echo, a trick         0
    wrong     another answer                         "expected", else below 1
    partial   part of it is right                    "expected", else below 1

Each task also gets answers that nobody wrote, and whatever they are worth must be told in time:

    hostile   nested, endless, unbalanced, giant     below 1
    bomb      a value that nobody can compute        below 1, or out of time
    noise     random pieces                          anything: they may hit by luck

A verdict is given in a process of its own, so that what hangs beyond any alarm, or takes its process
with it, is told as well.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qvl import reward
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.processes import Worker
from qvl.reward import Verdict, verdict
from qvl.reward.self_test import hostile
from qvl.reward.time_limit import VERDICT_SECONDS

EXPECTED = {"gold": 1.0, "empty": 0.0, "hacked": 0.0}
CASES = (*EXPECTED, "wrong", "partial", "hostile", "bomb", "noise")
NUM_NOISE = 100  # random answers a task; our choice
GRACE_SECONDS = 10.0  # past a verdict's own limit, until its process is ended; our choice
MEMORY_BYTES = 4 << 30  # of address space, of a verdict: our choice
EXACT = 1e-6  # between a reward and what was expected
MAX_SHOWN = 1000  # characters of a hostile answer that is shown where nothing was wrong
_CASES = Path(__file__).parent / "cases"
_NAME = "reward-test"


def shipped(name: str) -> Path:
    """The cases of a verifier or a task. UserError where it has none."""
    where = reward.REWARDS.get(name)
    for other in (name, *(each for each in reward.REWARDS if reward.REWARDS[each] == where)):
        path = _CASES / f"{other}.jsonl"
        if where and path.exists():
            return path
    known = ", ".join(reward.REWARDS)
    raise UserError(f"{name!r}: no such file, nor a verifier with cases; known: {known}")


def paths(words: list[str]) -> list[str]:
    """The files of cases that are meant by names of verifiers and files; all shipped for none."""
    found = []
    for word in words or reward.REWARDS:
        is_file = word == "-" or (word not in reward.REWARDS and Path(word).exists())
        found.append(word if is_file else str(shipped(word)))
    return list(dict.fromkeys(found))


@dataclass
class SelfTest:
    """Tries records of cases, and counts what went wrong."""

    verifier: str | None = None
    """On trial in place of that of each record's task: a name, or module:function."""
    seconds: float = VERDICT_SECONDS
    """for a verdict"""
    num_noise: int = NUM_NOISE
    seed: int = 0
    grace: float = GRACE_SECONDS
    cases: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    first: str = ""
    slowest: float = 0.0
    """seconds"""
    _tasks: set[str] = field(default_factory=set)
    _judge: Worker = field(default_factory=lambda: Worker(judged, memory=MEMORY_BYTES))

    def __call__(self, record: dict, place: str) -> Iterator[dict]:
        """A record of its own for each case, then, for the first record of a task, each hostile
        answer: it holds the one response with its verdict, and scores["reward-test"].

        `place`: where the record lies, as an error tells it.
        """
        theirs = Path(place.rpartition(":")[0]).parent != _CASES
        responses = record.get("responses") or []
        if not responses:
            raise UserError(f"{place}: no responses, each with a case, to try")
        for number, response in enumerate(responses):
            case, expected = _case(response, f"{place}: responses[{number}]")
            if self.verifier and not theirs and case not in EXPECTED:
                expected = None  # how much a part is worth is a reward's own choice
            known = {**response, "case": case, "expected": expected}
            yield self._tried(record, f"{case}-{number}", known)
        task = record.get("task") or ""
        if task not in self._tasks:
            self._tasks.add(task)
            yield from self._besieged(record, task)

    def _besieged(self, record: dict, task: str) -> Iterator[dict]:
        noise = hostile.noise(self.num_noise, f"{self.seed}/{task}")
        for answer in (*hostile.FIXED, *noise):
            response = {"content": answer.content, "case": answer.case, "expected": None}
            done = self._tried(record, answer.name, response)
            yield done if done["scores"][_NAME]["problem"] else _short(done)

    def _tried(self, record: dict, name: str, response: dict) -> dict:
        case, expected = response["case"], response["expected"]
        said, seconds = self._verdict(record, response)
        problem = _problem(said, case, expected)
        self.cases[case] += 1
        self.slowest = max(self.slowest, seconds)
        found = {"case": case, "expected": expected, "found": said.reward, "status": said.status}
        identity = f"{record['id']}/{name}"
        if problem:
            self.failed += 1
            self.first = self.first or f"{identity}: {problem}"
            said = said._replace(extracted=_writable(said.extracted))
        found |= {"seconds": round(seconds, 3), "problem": problem}
        return {
            **record,
            "id": identity,
            "responses": [verdict.with_verdict(response, said)],
            "scores": {**record.get("scores", {}), _NAME: found},
        }

    def _verdict(self, record: dict, response: dict) -> tuple[Verdict, float]:
        """The verdict and how many seconds it took."""
        verifier = self.verifier or record.get("task") or ""
        started = time.monotonic()
        bare = {key: value for key, value in response.items() if key not in ("case", "expected")}
        asked = {key: value for key, value in record.items() if key != "responses"}
        status, detail = "error", ""
        try:
            limit = self.seconds + self.grace
            return self._judge(limit, asked, bare, self.verifier, self.seconds)
        except TimeoutError:
            status, detail = "timeout", "no alarm interrupts it: its process was ended"
        except MemoryError as error:
            detail = str(error)
        except UserError as error:  # of the machine: something that it needs is not there
            detail = f"it cannot run here: {error}"
        return Verdict(status, None, None, detail, verifier), time.monotonic() - started


def judged(
    record: dict, response: dict, verifier: str | None, seconds: float
) -> tuple[Verdict, float]:
    """The verdict and how many seconds it took; in the process that can be ended."""
    started = time.monotonic()
    said = verdict.judge(record, response, verifier, seconds)
    return said, time.monotonic() - started


def _case(response: dict, where: str) -> tuple[str, float | None]:
    """A response's case and the reward that is expected of it."""
    case = response.get("case")
    if case not in CASES:
        raise UserError(f"{where}.case: {case!r} is none of {', '.join(CASES)}")
    expected = response.get("expected", EXPECTED.get(case))
    if expected is not None and (
        isinstance(expected, bool)
        or not isinstance(expected, int | float)
        or not 0 <= expected <= 1
    ):
        raise UserError(f"{where}.expected: {expected!r} is no number from 0 to 1")
    return case, expected


def _problem(said: Verdict, case: str, expected: float | None) -> str:
    """What is wrong with a verdict; "" where nothing is."""
    if said.reward is None:
        # A bomb's time-out is what its verifier's own limit is for; a process lost is none.
        fair = (
            case == "bomb"
            and said.status == "timeout"
            and said.detail.startswith("no verdict within")
        )
        return "" if fair else f"{said.status}: {said.detail}"
    if _writable(said.extracted) is not said.extracted:
        return "the answer that it extracted cannot be written as JSON"
    if expected is None:
        fair = said.reward < 1 or case == "noise"
        return "" if fair else "reward 1 where less than 1 is expected"
    if abs(said.reward - expected) > EXACT:
        return f"reward {said.reward:.6g} where {expected:.6g} is expected"
    return ""


def _writable(extracted: Any) -> Any:
    """The same, or, where no JSON can hold it, what Python calls it."""
    try:
        jsonl.encode({"extracted": extracted})
    except (TypeError, UserError):
        return ascii(extracted)[:MAX_SHOWN]
    return extracted


def _short(done: dict) -> dict:
    """The same with the beginning of a long answer only, and of what was extracted."""
    (response,) = done["responses"]
    if len(response["content"]) > MAX_SHOWN:
        said = response["content"]
        response |= {"content": said[:MAX_SHOWN], "characters": len(said)}
        response["verdict"]["extracted"] = None
    return done
