"""Code is judged by what it does: gold scores 1, empty 0, and tricks 0."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE

from qvl.reward import Unverifiable, verdict
from qvl.reward.verifiers import code
from qvl.reward.verifiers.programs import runner
from qvl.sandbox import Limits, probe

isolated = pytest.mark.skipif(not probe().isolated, reason=f"no isolation: {probe().reason}")

DOUBLE = {"tests": [{"stdin": "2\n", "stdout": "4\n"}, {"stdin": "5\n", "stdout": "10\n"}]}
ADD = {
    "function": "add",
    "tests": [{"arguments": [1, 2], "result": 3}, {"arguments": [-1, 1], "result": 0}],
}
CHECK = {
    "function": "close_elements",
    "prefix": "from typing import List\n\n\ndef twice(x):\n    return 2 * x\n",
    "tests": [
        "def check(candidate):\n"
        "    assert candidate([1.0, 2.0, 3.9], 0.3) == False\n"
        "    assert candidate([1.0, 2.8, 3.0], 0.3) == True\n"
        "    assert twice(candidate([], 1.0)) == 0\n"
    ],
}
ASSERTS = {"tests": ["assert add(1, 2) == 3", "assert add((1,), (2,)) == (1, 2)"]}
CLOSE = """def close_elements(numbers: List[float], threshold: float) -> bool:
    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])
"""


def judged(answer: Any, program: str, **options: Any) -> code.SuiteVerdict:
    response = {"content": f"Here it is.\n\n```python\n{program}\n```\nDone."}
    return code.judge({"answer": answer}, response, **options)


@isolated
@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (DOUBLE, "print(int(input()) * 2)"),
        (ADD, "def add(a, b):\n    print('noise')\n    return a + b"),
        (ADD, "class Solution:\n    def add(self, a, b):\n        return a + b"),
        (CHECK, CLOSE),
        (ASSERTS, "def add(a, b):\n    return a + b"),
    ],
)
def test_gold_scores_one_and_empty_zero(answer: Any, gold: str):
    verdict = judged(answer, gold)
    assert (verdict.reward, verdict.detail) == (1.0, ""), verdict
    assert verdict.passed == verdict.total == len(answer["tests"])
    assert verdict.extracted.strip() == gold.strip()
    for content in ("", "I do not know.", "```cpp\nint main() {}\n```", "<think>\n```python\n1"):
        assert code.score({"answer": answer}, {"content": content}) == 0.0


EQUAL = """class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __rmul__(self, other): return 0
"""


@isolated
@pytest.mark.parametrize("answer", [ADD, CHECK, ASSERTS])
@pytest.mark.parametrize(
    "trick",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "{equal}def {name}(*a, **k): return Equal()",
        "{equal}class Int(int):\n    __eq__ = Equal.__eq__\ndef {name}(*a, **k): return Int(99)",
        "def {name}(*a, **k): raise SystemExit(0)",
        "import os\ndef {name}(*a, **k): os._exit(0)",
        "import os\ndef {name}(*a, **k): os.kill(os.getppid(), 9)",
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'{{\"value\": true}}\\n' * 9)\n    except OSError: pass",
        "def check(candidate): pass\ndef {name}(*a, **k): return 99",
        "import builtins\nbuiltins.abs = builtins.all = lambda *a: True\nAssertionError = ValueError\n"
        "def abs(x): return 0\ndef all(x): return True\ndef {name}(*a, **k): return 99",
        "import os, sys\ndef {name}(*a, **k):\n    text = sys.stdin.read() + str(os.listdir('/job'))\n    return text",
        "import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\ndef {name}(*a, **k): return 99",
    ],
)
def test_tricks_score_zero(answer: Any, trick: str):
    name = answer.get("function", "add")
    assert judged(answer, trick.format(name=name, equal=EQUAL)).reward == 0.0


@isolated
def test_a_program_that_prints_what_it_should_not_know_scores_zero():
    assert judged(DOUBLE, "print(4)").reward == 0.0
    assert judged(DOUBLE, "print(4)", partial=True).reward == 0.5
    assert judged(DOUBLE, "import os; print(os.listdir('/job'))").reward == 0.0


@isolated
@pytest.mark.parametrize(
    "breaks",
    [
        "raise ValueError('no')",
        "import os; os._exit(1)",
        "all(True for _ in iter(int, 1))",
        "return object()",
    ],
)
def test_partial_credit_is_the_share_that_passes_whatever_breaks_between(breaks: str):
    answer = {
        "function": "f",
        "tests": [{"arguments": [i], "result": i} for i in range(4)],
    }
    program = f"def f(x):\n    if x == 1: {breaks}\n    return x"
    limits = Limits(wall_seconds=2, cpu_seconds=1)
    verdict = judged(answer, program, partial=True, limits=limits)
    assert (verdict.passed, verdict.total, verdict.reward) == (3, 4, 0.75), verdict
    assert verdict.detail.startswith("test 1: ")
    assert verdict.status == ("timeout" if "iter" in breaks else "ok")
    assert judged(answer, program, limits=limits).reward == 0.0


@isolated
def test_a_script_that_ends_its_solution_leaves_the_others_theirs():
    program = "import os\ndef f(x):\n    if x == 1: os._exit(0)\n    return x"
    answer = {"tests": [f"assert f({i}) == {i}" for i in range(4)]}
    verdict = judged(answer, program, partial=True)
    assert (verdict.reward, verdict.detail) == (0.75, "test 1: the solution ended early")


@isolated
@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("import os; os._exit(0)", "the solution ended early"),
        ("all(True for _ in iter(int, 1))", "timeout"),
    ],
)
def test_a_solution_that_ends_while_it_is_loaded_is_run_once(program: str, detail: str):
    answer = {"tests": [f"assert f({i}) == {i}" for i in range(50)]}
    begin = time.monotonic()
    verdict = judged(answer, program, partial=True, limits=Limits(wall_seconds=2))
    assert time.monotonic() - begin < PATIENCE
    assert (verdict.reward, verdict.detail) == (0.0, f"test 0: {detail}")


@isolated
def test_the_time_of_all_tests_together_has_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code, "VERDICT_SECONDS", 2.0)
    answer = {"tests": [{"stdin": "", "stdout": "x"}] * 50}
    verdict = judged(answer, "while True: pass", partial=True, limits=Limits(wall_seconds=1))
    assert (verdict.status, verdict.reward, verdict.detail) == ("timeout", 0.0, "test 0: timeout")


@isolated
def test_a_failure_is_reported_in_one_line():
    assert judged(ADD, "def add(a, b): return a - b").detail == "test 0: returned -1"
    assert judged(ADD, "def sub(a, b): return a - b").detail == "test 0: KeyError: 'add'"
    assert judged(ADD, "x = 1 / 0").detail == "test 0: ZeroDivisionError: division by zero"
    assert "SyntaxError" in judged(ADD, "def add(a, b:").detail
    assert judged(DOUBLE, "print(1)").detail == "test 0: printed '1\\n'"
    assert "ZeroDivisionError" in judged(DOUBLE, "1 / 0").detail
    assert judged(DOUBLE, "x = bytearray(1 << 40)").detail == "test 0: memory"


@isolated
def test_scripts_see_tuples_sets_bytes_keywords_and_exceptions():
    script = """
assert kinds((1, [2.5, None]), b"x", {1: {2}}, far=10**5000) == ((1, [2.5, None]), b"x", {1: {2}}, 10**5000)
try: fails()
except ValueError as error: assert "because" in str(error)
else: raise AssertionError("nothing was raised")
"""
    program = """
def kinds(*arguments, far): return (*arguments, far)
def fails(): raise ValueError("because")
"""
    assert judged({"tests": [script]}, program).detail == ""


def test_data_crosses_and_comes_back():
    for value in [None, True, 0, -(2**70), 1.5, "x", 1j, b"\0", [], (1, (2,)), {1, 2}, {(1,): {}}]:
        there = json.loads(json.dumps(runner.encode(value)))
        back = runner.decode(there)
        assert back == value
        assert type(back) is type(value)
    deep: list = []
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(TypeError):
        runner.encode(deep)


@isolated
@pytest.mark.parametrize(
    "line",
    ["{}", "[]", "5", '{"value": {"list": 3}}', '{"value": {"no": []}}', '{"value": {"int": "zz"}}',
     '{"value": {"range": [0, 1e9, 1]}}', '{"value": {"dict": [[{"list": []}, 1]]}}', '{"value": {}}',
     '{"value": {"range": [0, 1000000000000000000000000000, 1]}}',
     '{"value": ' + '{"list": [' * 5000 + "]}" * 5000 + "}", '{"value": {"int": "0x' + "f" * 9000 + '"}}',
     "{", '{"error": 3, "fatal": []}', '{"value": {"set": [[]]}}', '{"value": NaN}'],
)  # fmt: skip
def test_forged_answers_break_nothing(line: str):
    """The solution writes to the worker's pipe itself, before the worker's own answer."""
    answer = {"function": "add", "tests": [{"arguments": [1, 2], "result": [3]}]}
    forged = "".join(
        f"    try: os.write({fd}, {line!r}.encode() + b'\\n')\n    except OSError: pass\n"
        for fd in range(3, 9)
    )
    program = f"import os\ndef add(a, b):\n{forged}    return 0"
    assert judged(answer, program, limits=Limits(wall_seconds=5)).reward == 0.0


@pytest.mark.parametrize(
    ("printed", "expected", "tolerance", "same"),
    [
        ("1 2 \n3\n\n", "1 2\n3", 0, True),
        ("1  2", "1 2", 0, False),
        ("\n1", "1", 0, False),
        (" 1", "1", 0, False),
        ("0.33333", "0.333333", 0, False),
        ("0.33333 x", "0.333333 x", 1e-4, True),
        ("0.4", "0.333333", 1e-4, False),
        ("1 2", "1", 1, False),
        ("10000000000000001", "10000000000000000", 1e-4, False),
        ("10000000000000001", "10000000000000000", 1, True),
        ("3.0", "3", 1e-9, True),
        ("1_000", "1000", 1, False),
        ("inf", "1", 1, False),
        ("1e999999999999999", "1", 1, False),
        ("9" * 100_000, "1", 1, False),
        ("nan", "1", 1, False),
        ("", "1", 0, False),
    ],
)
def test_outputs_compare_by_lines(printed: str, expected: str, tolerance: float, same: bool):
    assert code.same_output(printed, expected, tolerance) is same


@isolated
def test_a_script_imports_nothing_that_the_solution_planted():
    program = """
for folder in (".", "/tmp", "/job"):
    try: open(folder + "/fractions.py", "w").write("Fraction = lambda x: 99")
    except OSError: pass
def f(): return 99
"""
    answer = {"tests": ["from fractions import Fraction\nassert f() == Fraction(1)"]}
    assert judged(answer, program).detail == "test 0: AssertionError: "


@isolated
def test_a_script_keeps_its_own_built_in_functions():
    answer = {
        "function": "f",
        "tests": ["assert abs(candidate(2) - 4) < 1e-6", "assert all([f(2) == 4])"],
    }
    cheat = "def abs(x): return 0\ndef all(x): return True\ndef f(x): return 99"
    assert judged(answer, cheat, partial=True).reward == 0.0
    assert judged(answer, "def f(x): return 2 * x").reward == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "x = 1",
        {"tests": []},
        {"tests": "assert 1"},
        {"tests": ["assert 1", {"stdin": "", "stdout": ""}]},
        {"tests": [{"stdin": ""}]},
        {"tests": [{"arguments": 3, "result": 3}]},
        {"tests": [{"arguments": [3], "result": 3}]},
        {"tests": ["def check(candidate): assert candidate(1)"]},
        {"tests": ["import math"]},
        {"tests": ["assert True", "assert f()"]},
        {"tests": ["# assert f() == 1\n'raise'"]},
        {"tests": ["assert f() ="]},
        {"tests": ["def helper():\n    assert f() == 1"]},
        {"tests": ["def test_it(fixture):\n    assert f() == 1"]},
        {"tests": ["import pytest\ndef test_it():\n    assert f() == 1"]},
        {"tests": ["assert f() == 1"], "prefix": "import numpy as np\n"},
        {"tests": [{"stdin": "1", "stdout": "1"}], "prefix": "import numpy as np\n"},
        {"tests": [{"stdin": "1", "stdout": " \n"}, {"stdin": "2", "stdout": ""}]},
        {"tests": [{"arguments": [[2, 1]], "result": None}], "function": "sort"},
        {"tests": ["assert f()"], "function": 3},
        {"tests": [{"stdin": "", "stdout": ""}], "tolerance": "little"},
    ],
)
def test_an_answer_without_sound_tests_is_unverifiable_before_anything_runs(answer: Any):
    record = {"id": "a", "task": "code", "answer": answer}
    with pytest.raises(Unverifiable):
        code.score(record, {"content": "```python\n1\n```"})


@isolated
def test_the_task_names_this_verifier():
    record = {"id": "a", "task": "code", "answer": ADD}
    response = {"content": "```python\ndef add(a, b): return a + b\n```"}
    assert verdict.judge(record, response).reward == 1.0
    assert verdict.unverifiable(record) is None


def test_without_isolation_there_is_no_verdict(tmp_path: Path):
    script = f"""
from qvl.reward.verifiers import code
record, response = {{"answer": {ADD!r}}}, {{"content": "```python\\ndef add(a, b): return a + b\\n```"}}
print(code.score(record, response, unsafe_local=True))
print(code.score(record, response))
"""
    for name in ("prlimit", "python3"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert done.stdout == "1.0\n"
    assert "NoIsolation: model-written code needs a sandbox" in done.stderr
