"""Code: run the program in a response against the record's tests, in the sandbox.

The answer is {"tests": [...]}. All tests are of one kind:
- {"stdin": text, "stdout": text}: the program reads stdin and prints stdout, in a run per test. Spaces at
  the ends of lines and empty lines at the end are ignored. With "tolerance" beside "tests", numbers in
  the output may differ by that much.
- {"arguments": [...], "result": value}, with "function" beside "tests": the function, or the method of a
  class Solution, returns the result; the rules of equality are in programs/values.py.
- text: a test script, as in HumanEval, MBPP, pytest or unittest. It can call the solution's functions, or
  import them from `solution`; if it defines check(candidate), that is called with "function". "prefix"
  beside "tests" is code that precedes both the solution and the script (HumanEval's prompt). Only plain
  data passes between the two, so the script does not see a solution change its arguments in place.

A script passes if it ran without an error, called the solution, and at least one of its checks was seen to
succeed (programs/scripts.py). Tests that could not tell a right solution from another are no verdict.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Literal

from qvl import sandbox
from qvl.reward import Unverifiable, reference
from qvl.reward.verifiers.programs import blocks, runner, scripts, values
from qvl.text.thinking import answer_text

VERDICT_SECONDS = 60.0  # for all tests of a response; our choice (each run has its own limits)
MAX_DETAIL = 200  # characters of a reported failure

_RUNNER = "runner"  # a file beside the solution's
_COMPILE = """
import marshal, sys
sys.stdout.buffer.write(marshal.dumps(compile(sys.stdin.buffer.read(), "runner", "exec")))
"""
_START = f"""
import marshal, os, sys
with open(os.path.join(os.path.dirname(sys.argv[0]), "{_RUNNER}"), "rb") as file:
    code = marshal.load(file)
exec(code)
"""
_EXACT = Context(prec=100, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # of a difference of numbers

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
    program = blocks.program(answer_text(response), suite.names, reads=suite.reads)
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
        _programs(run, program, suite)
        if suite.kind == "stdin"
        else _worker(run, program, suite, _compiled_runner(unsafe_local))
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


@dataclass(frozen=True)
class _Suite:
    kind: Kind
    tests: list[Any]
    function: str
    prefix: str
    tolerance: float
    scripts: list[scripts.Script]
    """The tests of kind script, prepared."""

    @property
    def names(self) -> set[str]:
        """The names that the solution has to define."""
        wanted = {name for script in self.scripts for name in script.wanted}
        return wanted | ({self.function} if self.function else set())

    @property
    def reads(self) -> bool:
        """Whether the solution has to read standard input."""
        return self.kind == "stdin" and any(test["stdin"].strip() for test in self.tests)


def _suite(answer: Any) -> _Suite:
    """Return the tests of a record. Unverifiable if they are malformed, or pass whatever the solution."""
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
    for module in scripts.missing_modules(prefix):
        raise Unverifiable(f"answer: prefix: {module} cannot be imported in the sandbox")
    if kind == "arguments" and not function:
        raise Unverifiable("answer: function: missing; name the function to call")
    if kind == "arguments" and all(test["result"] is None for test in tests):
        raise Unverifiable(
            "answer: tests: every result is null, as of a function that does nothing"
        )
    if kind == "stdin" and not any(test["stdout"].strip() for test in tests):
        raise Unverifiable(
            "answer: tests: every stdout is empty, as of a program that does nothing"
        )
    prepared = (
        [scripts.prepare(test, function, prefix) for test in tests] if kind == "script" else []
    )
    return _Suite(kind, tests, function, prefix, float(tolerance), prepared)


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


def _worker(run: Run, program: str, suite: _Suite, compiled: bytes) -> Iterator[str]:
    """The failure of each call or script, "" if it passed.

    After a test that ends its run, a new run goes on with the next test.
    """
    solution = f"{suite.prefix}\n{program}" if suite.prefix else program
    files = {runner.SOLUTION: _bytes(solution), _RUNNER: compiled}
    done, total = 0, len(suite.tests)
    while done < total:
        outcome = run(_START, _request(suite, done), files)
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
            yield _failure(result, line, suite.tests[done])
            done += 1
        if done < total:
            yield _ended(outcome)
            done += 1


def _request(suite: _Suite, done: int) -> bytes:
    """The standard input of the runner, without the first `done` tests."""
    tests: list[Any] = suite.tests[done:]
    request: dict[str, Any] = {"function": suite.function}
    if suite.kind == "arguments":
        request["calls"] = [runner.encode(test["arguments"]) for test in tests]
    else:
        request |= {
            "scripts": [script.request for script in suite.scripts[done:]],
            "prefix": suite.prefix,
        }
    return json.dumps(request).encode()


def _result(line: bytes) -> dict | None:
    """The result in a line of the runner's output; None for a truncated line."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) else None


def _failure(result: dict, line: bytes, test: Any) -> str:
    """What failed in a test, by its result and the line that holds it; "" if it passed."""
    if "error" in result:
        return _short(str(result["error"]))
    if isinstance(test, str):
        return _unproven(result)
    if values.too_long(line, test["result"]):
        return "returned a value that is too long"
    try:  # the solution's process wrote this, and may be hostile
        value = result["value"]
        if values.same(value, test["result"]):
            return ""
        return f"returned {_short(values.shown(value, MAX_DETAIL))}"
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return f"returned a value that cannot be compared: {type(error).__name__}"
    except values.TooSlow:
        return "returned a value that takes too long to compare"


def _unproven(result: dict) -> str:
    """Why a script that ran to its end did not prove anything; "" if it did.

    Unverifiable if that is not because of the solution.
    """
    if result["calls"] and result["checks"]:
        return ""
    if result["calls"]:
        return "no check ran"
    if result["missing"]:
        return f"no function {', '.join(result['missing'])}"
    raise Unverifiable("answer: tests: a script ran without calling the solution")


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
    """Whether two words are equal, or are numbers that differ by at most `tolerance`, in exact arithmetic."""
    if word == expected:
        return True
    if "_" in word or not word.isascii():  # Decimal reads both, and no program prints them
        return False
    try:
        numbers = Decimal(word), Decimal(expected)
    except InvalidOperation:
        return False
    if not all(number.is_finite() for number in numbers):
        return False
    return _EXACT.subtract(*numbers).copy_abs() <= Decimal(tolerance)


@cache
def _compiled_runner(unsafe_local: bool) -> bytes:
    """The runner as bytecode of the sandbox's Python, which saves a tenth of the time of a run."""
    source = Path(runner.__file__).read_bytes()
    outcome = sandbox.run(_COMPILE, source, unsafe_local=unsafe_local)
    if outcome.status != "ok":
        raise sandbox.SandboxError(f"the test runner was not compiled: {_ended(outcome)}")
    return outcome.stdout


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else text[:MAX_DETAIL] + "..."
