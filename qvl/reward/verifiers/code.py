"""Code: run the program in a response against the record's tests, in the sandbox.

The answer is {"tests": [...]}. All tests are of one kind:
- {"stdin": text, "stdout": text}: the program reads stdin and prints stdout, in a run per test. Spaces at
  the ends of lines and empty lines at the end are ignored. With "tolerance" beside "tests", numbers in
  the output may differ by that much.
- {"arguments": [...], "result": value}, with "function" beside "tests": the function, or the method of a
  class Solution, returns the result. Values are compared as JSON: a tuple is a list, a set is a list in
  any order, a key is a string. Integers are compared exactly, other numbers to 1e-6; a boolean is not a
  number.
- text: an assertion script, as in HumanEval and MBPP. It can call the solution's functions; if it defines
  check(candidate), that is called with "function". "prefix" beside "tests" is code that precedes both the
  solution and the script (HumanEval's prompt). Only plain data passes between the two, so the script
  does not see a solution change its arguments in place.
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

VERDICT_SECONDS = 60.0  # for all tests of a response; our choice (each run has its own limits)
TOLERANCE = 1e-6  # relative and absolute, between numbers that are not both integers; our choice
MAX_DETAIL = 200  # characters of a reported failure
MAX_COMPARED = 1000  # items of a set that are compared pairwise, as not all are strings or integers

_PYTHON = {"python", "python3", "py", "py3", ""}

Kind = Literal["stdin", "arguments", "script"]


@dataclass(frozen=True)
class SuiteVerdict:
    """The result of a solution: a Verdict (qvl.reward) with the number of tests that passed."""

    reward: float
    """1 if every test passed, else 0; with partial credit the share of tests that passed."""
    status: Literal["ok", "timeout"]
    """timeout: a test that failed exceeded its time limit."""
    passed: int
    total: int
    detail: str
    """The first failure, in one line; "" if every test passed."""
    extracted: str
    """The program that was run; "" if the response has none."""


def score(
    record: dict,
    response: dict,
    *,
    partial: bool = False,
    limits: sandbox.Limits | None = None,
    unsafe_local: bool = False,
) -> float:
    """The reward from 0 to 1; see `judge`."""
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
    """Run a response's program against the record's tests and return the result.

    partial: run all tests and reward the share that passed; else stop at the first failure.
    limits: of each run; the calls or scripts of a record share a run until one ends it.
    unsafe_local: run without isolation where none is available.
    Raises Unverifiable, sandbox.NoIsolation and sandbox.SandboxError; none of them is a verdict.
    """
    suite = _suite(reference(record))
    program = extract(response, suite.function)
    total = len(suite.tests)
    if not program.strip():
        return SuiteVerdict(0.0, "ok", 0, total, "no Python program in the response", "")

    def run(source: str, stdin: bytes, files: dict[str, bytes]) -> sandbox.Outcome:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return sandbox.Outcome(
                status="timeout", exit_code=0, stdout=b"", stderr=b"", seconds=0.0
            )
        run_limits = replace(given, wall_seconds=min(remaining, given.wall_seconds))
        return sandbox.run(source, stdin, run_limits, files=files, unsafe_local=unsafe_local)

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
    """The program of a response: its last closed code block, or the whole text if it has no fence.

    The thinking is left out, and so are blocks in another language than Python. If blocks define
    `function`, the last of those is the program.
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
    """The language and the content of each closed code block, in linear time for any text."""
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
    """Return the tests of a record. Unverifiable if they are malformed."""
    if not isinstance(answer, dict) or not isinstance(answer.get("tests"), list):
        raise Unverifiable('answer: expected {"tests": [...]}')
    tests, function = answer["tests"], answer.get("function") or ""
    kinds: set[Kind | None] = {_kind(test) for test in tests}
    if len(kinds) != 1:
        raise Unverifiable(f"answer: tests: {'expected one kind of test' if kinds else 'empty'}")
    (kind,) = kinds
    if kind is None:
        raise Unverifiable(
            "answer: tests: expected a script, stdin and stdout, or arguments and result in each"
        )
    prefix, tolerance = answer.get("prefix") or "", answer.get("tolerance") or 0.0
    if not isinstance(function, str) or not isinstance(prefix, str):
        raise Unverifiable("answer: function and prefix: expected strings")
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise Unverifiable("answer: tolerance: expected a number that is not negative")
    if kind == "script" and not all("assert" in test or "raise" in test for test in tests):
        raise Unverifiable("answer: tests: a script contains no assert and no raise")
    if not function and (kind == "arguments" or any("def check(" in str(test) for test in tests)):
        raise Unverifiable("answer: function: missing; name the function to call")
    return _Suite(kind, tests, function, prefix, float(tolerance))


def _kind(test: Any) -> Kind | None:
    """The kind of a test; None if it is malformed."""
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
    """The failure of each stdin test, "" if it passed; one run per test."""
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
    """The failure of each call or script, "" if it passed.

    After a test that ends its run, a new run goes on with the next test.
    """
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
            result = _result(line)
            if result is None or done == total:
                break
            if "fatal" in result:
                yield from [str(result["fatal"])] * (total - done)
                return
            yield _failure(result, suite.tests[done])
            done += 1
        if done < total:
            yield _ended(outcome)
            done += 1


def _request(suite: _Suite, done: int) -> bytes:
    """The standard input of code_worker, without the first `done` tests."""
    tests: list[Any] = suite.tests[done:]
    request: dict[str, Any] = {"function": suite.function}
    if suite.kind == "arguments":
        request["calls"] = [code_worker.encode(test["arguments"]) for test in tests]
    else:
        request |= {"scripts": tests, "prefix": suite.prefix}
    return json.dumps(request).encode()


def _result(line: bytes) -> dict | None:
    """The result in a line of code_worker's output; None for a truncated line."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) else None


def _failure(result: dict, test: Any) -> str:
    """What failed in a test, by its result; "" if it passed."""
    if "error" in result:
        return _short(str(result["error"]))
    if isinstance(test, str):
        return "" if result.get("value") is True else "no result"
    try:  # the solution's process wrote this, and may be hostile
        value = code_worker.decode(result["value"])
        return "" if same_value(value, test["result"]) else f"returned {_short(repr(value))}"
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return f"returned a value that cannot be compared: {type(error).__name__}"


def _ended(outcome: sandbox.Outcome) -> str:
    """How a run ended that did not pass or report its test."""
    if outcome.status != "failed":
        return "the solution ended early" if outcome.status == "ok" else outcome.status
    last = outcome.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return _short(last[0]) if last else f"exit status {outcome.exit_code}"


def same_output(printed: str, expected: str, tolerance: float = 0.0) -> bool:
    """Whether two outputs are equal, except for spaces at the ends of lines and empty lines at the end."""
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
    """Whether a returned value equals the expected one, which comes from JSON."""
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
        return both_nan or math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # an integer beyond the range of floats is close to no float
        return False


@cache
def _worker_source() -> str:
    return Path(code_worker.__file__).read_text()


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else text[:MAX_DETAIL] + "..."
