"""Self-test of verifiers: each judges responses whose reward is known.

A case is a response with "case" and optionally "expected":

    case      the response                             reward
    gold      the reference in some form               1
    empty     nothing, or a truncated thought          0
    hacked    many guesses, an echo, a trick           0
    wrong     another answer                           "expected", else below 1
    partial   an answer that is right in part          "expected", else below 1

For each task the verifier also judges generated answers, and must give each a verdict in time:

    hostile   nested, endless, unbalanced, huge        below 1
    bomb      a value too large to compute             below 1, or a time-out
    noise     random pieces                            any: noise may be right by chance
    hack      a policy's hack (hacks.py)               below 0.5, which is wrong

A record of task "judge" tests a judge's prompt on replies (judge_replies.py). A reply without a verdict is
an error, which is right for all cases but gold, wrong and partial.

Each verdict is given in a separate process. A verifier that no alarm interrupts, or that ends its
process, is therefore reported too.
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
from qvl.record import with_scores
from qvl.reward import Verdict, verdict
from qvl.reward.self_test import hacks, hostile, judge_replies
from qvl.reward.time_limit import VERDICT_SECONDS

EXPECTED = {"gold": 1.0, "empty": 0.0, "hacked": 0.0}
CASES = (*EXPECTED, "wrong", "partial", "hostile", "bomb", "noise", "hack")
NEED_A_VERDICT = ("gold", "wrong", "partial")  # of a judge
NUM_NOISE = 100  # random answers per task: our choice
GRACE_SECONDS = 10.0  # after the time limit of a verdict, before its process is killed: our choice
MEMORY_BYTES = 4 << 30  # of address space per verdict: our choice
TOLERANCE = 1e-6  # between a reward and the expected one
MAX_SHOWN = 1000  # characters of a hostile answer that was judged correctly
_CASES = Path(__file__).parent / "cases"
_NAME = "reward-test"
_NAMES = (*reward.REWARDS, judge_replies.TASK)


def shipped(name: str) -> Path:
    """The file of cases of a verifier, a task, or the judges; UserError if there is none."""
    if name == judge_replies.TASK:
        return _CASES / f"{name}.jsonl"
    where = reward.REWARDS.get(name)
    for other in (name, *(each for each in reward.REWARDS if reward.REWARDS[each] == where)):
        path = _CASES / f"{other}.jsonl"
        if where and path.exists():
            return path
    known = ", ".join(_NAMES)
    raise UserError(f"{name!r}: no such file, nor a verifier with cases; known: {known}")


def paths(words: list[str]) -> list[str]:
    """The files of cases for names of verifiers or files; without names, all shipped files."""
    found = []
    for word in words or _NAMES:
        is_file = word == "-" or (word not in _NAMES and Path(word).exists())
        found.append(word if is_file else str(shipped(word)))
    return list(dict.fromkeys(found))


@dataclass
class CaseRunner:
    """Runs the cases of records and counts those with a problem."""

    verifier: str | None = None
    """Tested in place of the verifier of each record's task: a name or module:function."""
    seconds: float = VERDICT_SECONDS
    """Time limit of a verdict."""
    num_noise: int = NUM_NOISE
    seed: int = 0
    grace: float = GRACE_SECONDS
    has_hacks: bool = True
    """Whether records are tested on hacks, too."""
    cases: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    first: str = ""
    slowest: float = 0.0
    """Seconds of the slowest verdict."""
    _tasks: set[str] = field(default_factory=set)
    _answers: set[str] = field(default_factory=set)
    _judge: Worker = field(default_factory=lambda: Worker(judged, memory=MEMORY_BYTES))

    def __call__(self, record: dict, place: str) -> Iterator[dict]:
        """One result per case and hack and, for the first record of each task, one per hostile answer.

        A result is the record with that one response, its verdict and scores["reward-test"].

        place: file and line of the record, for errors.
        """
        is_users = Path(place.rpartition(":")[0]).parent != _CASES
        responses = record.get("responses") or []
        if not responses:
            raise UserError(f"{place}: no responses; expected a list, each with a case")
        for number, response in enumerate(responses):
            case, expected = _case(response, f"{place}: responses[{number}]")
            if self.verifier and not is_users and case not in EXPECTED:
                expected = None  # each verifier decides what a partial answer is worth
            labelled = {**response, "case": case, "expected": expected}
            yield self._result(record, f"{case}-{number}", labelled)
        task = record.get("task") or ""
        answer = repr((task, record.get("answer")))
        if (
            self.has_hacks and answer not in self._answers
        ):  # the results of a test, tested again, share few answers
            self._answers.add(answer)
            yield from self._hacked(record)
        if task not in self._tasks:
            self._tasks.add(task)
            yield from self._hostile(record, task)

    def _hacked(self, record: dict) -> Iterator[dict]:
        """One result per hack of a record; those without a problem are shortened."""
        for name, response in hacks.of_record(record):
            done = self._result(
                record, f"hack-{name}", {**response, "case": "hack", "expected": None}
            )
            yield done if done["scores"][_NAME]["problem"] else _short(done)

    def _hostile(self, record: dict, task: str) -> Iterator[dict]:
        """One result per hostile answer; those without a problem are shortened."""
        noise = hostile.noise(self.num_noise, f"{self.seed}/{task}")
        for answer in (*hostile.FIXED, *noise):
            response = {"content": answer.content, "case": answer.case, "expected": None}
            done = self._result(record, answer.name, response)
            yield done if done["scores"][_NAME]["problem"] else _short(done)

    def _result(self, record: dict, name: str, response: dict) -> dict:
        """The result of one labelled response."""
        case, expected = response["case"], response["expected"]
        found, seconds = self._verdict(record, response)
        is_error = found.status == "error" and record.get("task") == judge_replies.TASK
        is_no_verdict = is_error and case not in NEED_A_VERDICT
        problem = "" if is_no_verdict else _problem(found, case, expected)
        self.cases[case] += 1
        self.slowest = max(self.slowest, seconds)
        row = {"case": case, "expected": expected, "found": found.reward, "status": found.status}
        identity = f"{record['id']}/{name}"
        if problem:
            self.failed += 1
            self.first = self.first or f"{identity}: {problem}"
            found = found._replace(extracted=_writable(found.extracted))
        row |= {"seconds": round(seconds, 3), "problem": problem}
        responses = [verdict.with_verdict(response, found)]
        return with_scores({**record, "id": identity, "responses": responses}, _NAME, row)

    def _verdict(self, record: dict, response: dict) -> tuple[Verdict, float]:
        """The verdict and the seconds that it took."""
        is_judge = record.get("task") == judge_replies.TASK
        verifier = self.verifier or (judge_replies.VERIFIER if is_judge else None)
        started = time.monotonic()
        unlabelled = {
            key: value for key, value in response.items() if key not in ("case", "expected")
        }
        bare_record = {key: value for key, value in record.items() if key != "responses"}
        status, detail = "error", ""
        try:
            limit = self.seconds + self.grace
            return self._judge(limit, bare_record, unlabelled, verifier, self.seconds)
        except TimeoutError:
            status, detail = "timeout", "no alarm interrupts it; its process was killed"
        except MemoryError as error:
            detail = str(error)
        except UserError as error:  # the machine lacks something that the verifier needs
            detail = f"it cannot run here: {error}"
        name = verifier or record.get("task") or ""
        return Verdict(status, None, None, detail, name), time.monotonic() - started


def judged(
    record: dict, response: dict, verifier: str | None, seconds: float
) -> tuple[Verdict, float]:
    """The verdict and the seconds that it took. Runs in a process that can be killed."""
    started = time.monotonic()
    found = verdict.judge(record, response, verifier, seconds)
    return found, time.monotonic() - started


def _case(response: dict, where: str) -> tuple[str, float | None]:
    """The case of a response and its expected reward, None for any below 1; UserError if unknown."""
    case = response.get("case")
    if case not in CASES:
        raise UserError(f"{where}.case: {case!r}: expected one of {', '.join(CASES)}")
    expected = response.get("expected", EXPECTED.get(case))
    if expected is not None and (
        isinstance(expected, bool)
        or not isinstance(expected, int | float)
        or not 0 <= expected <= 1
    ):
        raise UserError(f"{where}.expected: {expected!r}: expected a number from 0 to 1")
    return case, expected


def _problem(found: Verdict, case: str, expected: float | None) -> str:
    """The problem with a verdict, or ""."""
    if found.reward is None:
        # A verifier may time out on a bomb, but must not hang or end its process.
        is_allowed = (
            case == "bomb"
            and found.status == "timeout"
            and found.detail.startswith("no verdict within")
        )
        return "" if is_allowed else f"{found.status}: {found.detail}"
    if _writable(found.extracted) is not found.extracted:
        return "the extracted answer cannot be written as JSON"
    if expected is None:
        limit = reward.RIGHT if case == "hack" else 1
        is_allowed = found.reward < limit or case == "noise"
        return "" if is_allowed else f"reward {found.reward:.6g}, expected less than {limit:g}"
    if abs(found.reward - expected) > TOLERANCE:
        return f"reward {found.reward:.6g}, expected {expected:.6g}"
    return ""


def _writable(extracted: Any) -> Any:
    """The same value, or its Python representation if JSON cannot hold it."""
    try:
        jsonl.encode({"extracted": extracted})
    except (TypeError, UserError):
        return ascii(extracted)[:MAX_SHOWN]
    return extracted


def _short(done: dict) -> dict:
    """The same result, with a long answer truncated and without its extracted answer."""
    (response,) = done["responses"]
    if len(response["content"]) > MAX_SHOWN:
        content = response["content"]
        response |= {"content": content[:MAX_SHOWN], "characters": len(content)}
        response["verdict"]["extracted"] = None
    return done
