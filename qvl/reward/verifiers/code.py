"""Code: the program in a response passes the record's tests, in the sandbox.

The answer is {"tests": [...]}, all of one kind:
- {"stdin": text, "stdout": text}: the program, run anew for each, prints this. Spaces at the ends
  of lines and empty lines at the end do not count; with "tolerance" beside "tests", words that are
  numbers may differ by so much.
- {"arguments": [...], "result": value}, with "function" beside "tests": what the function (or the
  method of a class Solution) returns equals the result. A tuple is a list, a set is a list in any
  order, a key is a string, as JSON has it; integers are exact, other numbers to 1e-6; a truth
  value is no number.
- text: an assertion script, as HumanEval and MBPP have it. It sees the solution's functions; one
  that defines check(candidate) is called with "function". "prefix" beside "tests" is code that the
  solution and the script both begin with (HumanEval's prompt). What crosses between them is plain
  data, so arguments that a solution changes in place stay as they were in the script.
"""

import json
import math
import re
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from qvl import sandbox
from qvl.reward import Unverifiable, reference
from qvl.reward.verifiers import code_worker
from qvl.text.thinking import answer_text

VERDICT_SECONDS = 60.0  # for all tests together; our choice (each run has its own limits)
RELATIVE = 1e-6  # between numbers of which one is not an integer; our choice
MAX_TOLD = 200  # characters of a failure
MAX_COMPARED = 1000  # items of a set of other things than texts and integers: each with each

_PYTHON = {"python", "python3", "py", "py3", ""}

Kind = Literal["stdin", "arguments", "script"]


@dataclass(frozen=True)
class SuiteVerdict:
    """What became of a solution: a Verdict (qvl.reward) with the number of tests that passed."""

    reward: float
    """1 where every test passed, else 0; with partial credit the share of tests that did."""
    status: Literal["ok", "timeout"]
    """timeout: a test that did not pass ran out of time."""
    passed: int
    total: int
    detail: str
    """The first failure, in a line; "" where there is none."""
    extracted: str
    """The program that was run; "" where the response holds none."""


def score(
    record: dict,
    response: dict,
    *,
    partial: bool = False,
    limits: sandbox.Limits | None = None,
    unsafe_local: bool = False,
) -> float:
    """The reward alone; see `judge`."""
    options = {"partial": partial, "limits": limits, "unsafe_local": unsafe_local}
    return judge(record, response, **options).reward


def judge(
    record: dict,
    response: dict,
    *,
    partial: bool = False,
    limits: sandbox.Limits | None = None,
    unsafe_local: bool = False,
) -> SuiteVerdict:
    """Run a response's program against the record's tests.

    partial: run them all and give the share that passed; else stop at the first failure.
    limits: of each run; calls and scripts of one record share a run until one breaks it.
    unsafe_local: run without isolation where there is none.
    Errors: Unverifiable, sandbox.NoIsolation, sandbox.SandboxError: none of them is a verdict.
    """
    suite = _suite(reference(record))
    program = extract(response, suite.function)
    total = len(suite.tests)
    if not program.strip():
        return SuiteVerdict(0.0, "ok", 0, total, "no Python program in the response", "")

    def run(source: str, stdin: bytes, files: dict[str, bytes]) -> sandbox.Outcome:
        left = deadline - time.monotonic()
        if left <= 0:
            return sandbox.Outcome(
                status="timeout", exit_code=0, stdout=b"", stderr=b"", seconds=0.0
            )
        within = replace(given, wall_seconds=min(left, given.wall_seconds))
        return sandbox.run(source, stdin, within, files=files, unsafe_local=unsafe_local)

    given = limits or sandbox.Limits()
    deadline = time.monotonic() + VERDICT_SECONDS
    results = (
        _programs(run, program, suite) if suite.kind == "stdin" else _worker(run, program, suite)
    )
    passed, detail, status = 0, "", "ok"
    for number, failure in enumerate(results):
        if not failure:
            passed += 1
            continue
        detail = detail or f"test {number}: {failure}"
        if failure == "timeout":
            status = "timeout"
        if not partial:
            break
    reward = passed / total if partial else float(passed == total)
    return SuiteVerdict(reward, status, passed, total, detail, program)


def extract(response: dict, function: str = "") -> str:
    """The last closed block of Python after the thinking, else all of it where no block is.

    Of several, the last that defines `function`; a block of another language is none.
    """
    text = answer_text(response)
    blocks = list(_blocks(text))
    if not blocks:
        return "" if "```" in text else text
    found = [textwrap.dedent(body) for tag, body in blocks if tag in _PYTHON]
    defining = re.compile(rf"^[ \t]*(?:async )?def {re.escape(function)}\b", re.MULTILINE)
    chosen = [body for body in found if defining.search(body)] if function else []
    return (chosen or found or [""])[-1]


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language and the content of each closed block; a plain loop, for no text takes it long."""
    language: str | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        word = line.strip()
        if language is None:
            if word.startswith("```") and "`" not in word[3:]:
                language, lines = " ".join(word[3:].lower().split()[:1]), []
        elif word == "```":
            yield language, "".join(f"{line}\n" for line in lines)
            language = None
        else:
            lines.append(line)


@dataclass(frozen=True)
class _Suite:
    kind: Kind
    tests: list[Any]
    function: str
    prefix: str
    tolerance: float


def _suite(answer: Any) -> _Suite:
    """The tests of a record, checked."""
    if not isinstance(answer, dict) or not isinstance(answer.get("tests"), list):
        raise Unverifiable('the answer of a code record is {"tests": [...]}')
    tests, function = answer["tests"], answer.get("function") or ""
    kinds: set[Kind | None] = {_kind(test) for test in tests}
    if len(kinds) != 1:
        raise Unverifiable("tests of several kinds" if kinds else "no tests")
    (kind,) = kinds
    if kind is None:
        raise Unverifiable(
            "a test is a text, or has stdin and stdout as texts, or a list of arguments and a result"
        )
    prefix, tolerance = answer.get("prefix") or "", answer.get("tolerance") or 0.0
    if not isinstance(function, str) or not isinstance(prefix, str):
        raise Unverifiable('"function" and "prefix" are texts')
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise Unverifiable('"tolerance" is a number')
    if kind == "script" and not all("assert" in test or "raise" in test for test in tests):
        raise Unverifiable("an assertion script that asserts nothing")
    if not function and (kind == "arguments" or any("def check(" in str(test) for test in tests)):
        raise Unverifiable('the answer does not name the "function" to call')
    return _Suite(kind, tests, function, prefix, float(tolerance))


def _kind(test: Any) -> Kind | None:
    if isinstance(test, str):
        return "script"
    if not isinstance(test, dict):
        return None
    if isinstance(test.get("stdin"), str) and isinstance(test.get("stdout"), str):
        return "stdin"
    if isinstance(test.get("arguments"), list) and "result" in test:
        return "arguments"
    return None


Run = Callable[[str, bytes, dict[str, bytes]], sandbox.Outcome]


def _programs(run: Run, program: str, suite: _Suite) -> Iterator[str]:
    """What failed in each test, "" where it passed; one run each."""
    source = f"{suite.prefix}\n{program}" if suite.prefix else program
    for test in suite.tests:
        outcome = run(source, _bytes(test["stdin"]), {})
        if outcome.status != "ok":
            yield _ended(outcome)
        elif same_output(outcome.stdout.decode(errors="replace"), test["stdout"], suite.tolerance):
            yield ""
        else:
            yield f"printed {_short(repr(outcome.stdout.decode(errors='replace')))}"


def _worker(run: Run, program: str, suite: _Suite) -> Iterator[str]:
    """The same for calls and scripts: a run goes on until a test breaks it; then a new one."""
    solution = f"{suite.prefix}\n{program}" if suite.prefix else program
    files = {code_worker.SOLUTION: _bytes(solution)}
    done, total = 0, len(suite.tests)
    while done < total:
        outcome = run(_worker_source(), _request(suite, done), files)
        loaded, *lines = outcome.stdout.splitlines() or [b""]
        if not loaded:
            yield from [_ended(outcome)] * (total - done)
            return
        for line in lines:
            told = _told(line)
            if told is None or done == total:
                break
            if "fatal" in told:
                yield from [str(told["fatal"])] * (total - done)
                return
            yield _failure(told, suite.tests[done])
            done += 1
        if done < total:
            yield _ended(outcome)
            done += 1


def _request(suite: _Suite, done: int) -> bytes:
    tests: list[Any] = suite.tests[done:]
    asked: dict[str, Any] = {"function": suite.function}
    if suite.kind == "arguments":
        asked["calls"] = [code_worker.encode(test["arguments"]) for test in tests]
    else:
        asked |= {"scripts": tests, "prefix": suite.prefix}
    return json.dumps(asked).encode()


def _told(line: bytes) -> dict | None:
    """A result, as the worker wrote it; a line that was cut is none."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _failure(told: dict, test: Any) -> str:
    if "error" in told:
        return _short(str(told["error"]))
    if isinstance(test, str):
        return "" if told.get("value") is True else "no result"
    try:  # the solution's process wrote this, and may have meant harm
        value = code_worker.decode(told["value"])
        return "" if same_value(value, test["result"]) else f"returned {_short(repr(value))}"
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return f"returned what cannot be compared: {type(error).__name__}"


def _ended(outcome: sandbox.Outcome) -> str:
    """How a run that gave no result ended."""
    if outcome.status != "failed":
        return "the solution ended early" if outcome.status == "ok" else outcome.status
    last = outcome.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return _short(last[0]) if last else f"exit status {outcome.exit_code}"


def same_output(printed: str, expected: str, tolerance: float = 0.0) -> bool:
    """Line by line, less the spaces at the ends of lines and the empty lines at the end."""
    lines = [[line.rstrip() for line in text.rstrip().splitlines()] for text in (printed, expected)]
    if lines[0] == lines[1]:
        return True
    if not tolerance or len(lines[0]) != len(lines[1]):
        return False
    pairs = zip(*([line.split() for line in text] for text in lines), strict=True)
    return all(
        len(a) == len(b) and all(_near(x, y, tolerance) for x, y in zip(a, b, strict=True))
        for a, b in pairs
    )


def _near(word: str, expected: str, tolerance: float) -> bool:
    try:
        return word == expected or abs(float(word) - float(expected)) <= tolerance
    except ValueError:
        return False


def same_value(value: Any, expected: Any) -> bool:
    """Whether a returned value is the one that JSON gives."""
    if isinstance(value, bool) or isinstance(expected, bool) or value is None or expected is None:
        return value is expected
    if isinstance(value, int) and isinstance(expected, int):
        return value == expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return _close(value, expected)
    if isinstance(value, set | frozenset) and isinstance(expected, list):
        return len(value) == len(expected) and _same_items(value, expected)
    if isinstance(value, list | tuple | range) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(same_value, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        keyed = {str(key): item for key, item in value.items()}
        return keyed.keys() == expected.keys() and all(
            same_value(item, expected[key]) for key, item in keyed.items()
        )
    return type(value) is type(expected) and value == expected


def _same_items(value: set | frozenset, expected: list) -> bool:
    if all(isinstance(item, str | int) for item in (*value, *expected)):
        return value == set(expected)
    return len(expected) <= MAX_COMPARED and all(
        any(same_value(item, other) for other in expected) for item in value
    )


def _close(value: float, expected: float) -> bool:
    try:
        both_nan = math.isnan(value) and math.isnan(expected)
        return both_nan or math.isclose(value, expected, rel_tol=RELATIVE, abs_tol=RELATIVE)
    except OverflowError:  # an integer beyond floating point is close to none
        return False


@cache
def _worker_source() -> str:
    return Path(code_worker.__file__).read_text()


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= MAX_TOLD else text[:MAX_TOLD] + "..."
