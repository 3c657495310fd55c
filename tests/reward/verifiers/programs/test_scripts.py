"""Test scripts: those that run are run as what they are, and those that prove nothing are no verdict."""

import pytest

from qvl.reward import Unverifiable
from qvl.reward.verifiers import code
from qvl.reward.verifiers.programs import scripts
from qvl.sandbox import probe

isolated = pytest.mark.skipif(not probe().isolated, reason=f"no isolation: {probe().reason}")

CHECKS = {
    "an assert": "assert add(1, 2) == 3",
    "pytest": "from solution import add\ndef test_sum():\n    assert add(1, 2) == 3",
    "a class of pytest": """
class TestAdd:
    def setup_method(self, method):
        self.one = 1
    def test_sum(self):
        assert add(self.one, 2) == 3
    def teardown_method(self):
        del self.one
""",
    "unittest": """
import unittest
class Tests(unittest.TestCase):
    def setUp(self):
        self.add = add
    def test_sum(self):
        self.assertEqual(self.add(1, 2), 3)
if __name__ == "__main__":
    unittest.main()
""",
    "inherited cases": """
import sys
from unittest import TestCase, main
class Base(TestCase):
    def expect(self, a, b):
        with self.subTest(a=a):
            self.assertTrue(add(a, b) == a + b)
class Tests(Base):
    def test_sums(self):
        for a, b in [(1, 2), (3, 4)]:
            self.expect(a, b)
if __name__ == "__main__":
    sys.exit(main())
""",
    "asynchronous cases": """
import unittest
class Tests(unittest.IsolatedAsyncioTestCase):
    async def test_sum(self):
        self.assertEqual(add(1, 2), 3)
""",
    "assertRaises": """
import unittest
class Tests(unittest.TestCase):
    def test_types(self):
        with self.assertRaises(TypeError):
            add(1, "2")
        [self.assertEqual(add(a, 1), a + 1) for a in range(3)]
""",
    "check": "def check(candidate):\n    assert candidate(1, 2) == 3",
    "check without an argument": "def check():\n    assert add(1, 2) == 3",
    "a coroutine": "async def check(candidate):\n    assert candidate(1, 2) == 3",
    "a coroutine of pytest": "async def test_sum():\n    assert add(1, 2) == 3",
    "a generator": "def check(candidate):\n    yield\n    assert candidate(1, 2) == 3",
    "an asynchronous generator": "async def check(candidate):\n    yield\n    assert candidate(1, 2) == 3",
    "main": "if __name__ == '__main__':\n    assert add(1, 2) == 3",
    "a function of main": "def run():\n    assert add(1, 2) == 3\nif __name__ == '__main__': run()",
    "raise": "if add(1, 2) != 3: raise AssertionError('no')  # one line",
    "a jump": "def test_sum():\n    if add(1, 2) == 3:\n        return\n    raise ValueError",
    "a loop": "for a in range(3):\n    if add(a, 1) == a + 1: continue\n    raise ValueError",
    "assert False": "try:\n    add(1, '2'); assert False\nexcept TypeError:\n    pass\nassert add(1, 2) == 3",
    "zip": "for got, want in zip(map(add, [1, 2], [3, 4]), [4, 6]):\n    assert got == want",
    "all": "assert all(map(lambda a: add(a, 1) == a + 1, [1, 2]))",
    "next": "assert next(iter([add(1, 2)]), 0) == 3",
    "a case outside a class": "import unittest\ncase = unittest.TestCase()\ncase.assertEqual(add(1, 2), 3)",
    "a method by name": "from unittest import TestCase\nassertEqual = TestCase().assertEqual\nassertEqual(add(1, 2), 3)",
}  # fmt: skip

RIGHT = "def add(a, b):\n    return a + b"
WRONG = {
    "another value": "def add(a, b):\n    return 99",
    "nothing": "def add(a, b):\n    pass",
    "no items": "def add(a, b):\n    return []",
    "StopIteration": "def add(a, b):\n    raise StopIteration",
    "a kind of StopIteration": "class Stop(StopIteration): pass\ndef add(a, b):\n    raise Stop",
    "StopAsyncIteration": "def add(a, b):\n    raise StopAsyncIteration",
    "GeneratorExit": "def add(a, b):\n    raise GeneratorExit",
    "SystemExit": "def add(a, b):\n    raise SystemExit(0)",
    "KeyboardInterrupt": "def add(a, b):\n    raise KeyboardInterrupt",
    "SkipTest": "import unittest\ndef add(a, b):\n    raise unittest.SkipTest",
    "an exit": "import os\ndef add(a, b):\n    os._exit(0)",
    "a coroutine": "async def add(a, b):\n    return 99",
    "a coroutine that is right": "async def add(a, b):\n    return a + b",
    "a generator": "def add(a, b):\n    yield a + b",
    "no function": "add = 3",
    "names of the tests": "__name__ = 'x'\ndef test_sum(): pass\ndef check(candidate): pass\ndef add(a, b): return 99\n"
    "def expect(self, a, b): pass\ndef iter(x): return [3]\n",
}  # fmt: skip


def judged(tests: list[str], program: str, **options) -> code.SuiteVerdict:
    answer = {"tests": tests, "function": "add"}
    response = {"content": f"```python\n{program}\n```"}
    return code.judge({"answer": answer}, response, **options)


@isolated
def test_every_kind_of_script_runs():
    found = judged(list(CHECKS.values()), RIGHT, partial=True)
    assert (found.reward, found.detail) == (1.0, "")


@isolated
@pytest.mark.parametrize("trick", WRONG)
def test_no_kind_of_script_pays_a_wrong_solution(trick: str):
    found = judged(list(CHECKS.values()), WRONG[trick], partial=True)
    assert found.passed == 0, found


@isolated
def test_a_coroutine_is_paid_where_it_is_awaited():
    script = "import asyncio\nasync def check(candidate):\n    assert await candidate(1, 2) == 3"
    other = "import asyncio\nassert asyncio.run(add(1, 2)) == 3"
    assert judged([script, other], "async def add(a, b): return a + b").reward == 1.0
    assert judged([script, other], "async def add(a, b): return 9", partial=True).reward == 0.0
    assert judged([script, other], RIGHT, partial=True).reward == 0.0


@isolated
@pytest.mark.parametrize(
    "script",
    [
        "for item in add(1, 2) or ():\n    assert item == 3",
        "def test_items():\n    for item in add(1, 2) or ():\n        if item != 3: raise ValueError",
        "def assert_all(items):\n    for item in items: assert item == 3\nassert_all(add(1, 2) or ())",
        "if add(1, 2):\n    assert add(1, 2) == 3",
        "import unittest\nclass T(unittest.TestCase):\n    def test_sum(self):\n"
        "        if not add(1, 2): self.skipTest('not written yet')\n        self.assertEqual(add(1, 2), 3)\n"
        "    def test_true(self):\n        self.assertTrue(1)",
        "def test_sum():\n    assert True\n    return add(1, 2) == 3\nassert 1 + 1 == 2",
    ],
)
def test_a_check_that_the_solution_avoids_is_not_passed(script: str):
    assert judged([script], "def add(a, b):\n    return None").reward == 0.0


@isolated
@pytest.mark.parametrize(
    "script",
    [
        "def add(a, b): return a + b\nassert add(1, 2) == 3",
        "import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('later')\n"
        "    def test_sum(self): self.assertEqual(add(1, 2), 3)",
        "if __name__ == 'elsewhere':\n    assert add(1, 2) == 3",
        "assert 1 + 1 == 2\nif 0: add(1, 2)",
    ],
)
def test_a_script_that_never_calls_the_solution_is_no_verdict(script: str):
    with pytest.raises(Unverifiable, match="without calling the solution"):
        judged([script], RIGHT)
    assert judged([script], "x = 1").reward == 0.0


@isolated
def test_a_failure_that_the_script_catches_is_a_failure():
    half = "def add(a, b):\n    return 3"
    caught = "for a, b in [(1, 2), (2, 2)]:\n    try:\n        assert add(a, b) == a + b\n    except {}:\n        print('failed')"
    for kind in ("AssertionError", "Exception as error", "(ValueError, AssertionError)"):
        assert judged([caught.format(kind)], half).reward == 0.0
        assert judged([caught.format(kind)], RIGHT).reward == 1.0
    either = "try:\n    assert add(1, 2) == 4\nexcept AssertionError:\n    assert add(1, 2) == 3"
    assert judged([either], RIGHT).reward == 1.0
    raises = "try:\n    assert add(1, '2') == 3\nexcept TypeError:\n    pass\nassert add(1, 2) == 3"
    assert judged([raises], RIGHT).reward == 1.0


@isolated
def test_a_script_expects_exceptions_of_the_solution():
    script = """
for kind in (ValueError, KeyError, ZeroDivisionError, UnicodeError, AssertionError):
    try: add(kind.__name__, 0)
    except kind: pass
    else: raise AssertionError
"""
    assert judged([script], "def add(a, b): raise getattr(__builtins__, a)('no')").reward == 1.0
    assert judged([script], RIGHT).reward == 0.0


def test_checks_are_counted_where_they_succeed():
    counted = {
        "assert a == 1": "assert a == 1; __checked__()",
        "if a: assert a == 1": "if a: assert a == 1; __checked__()",
        "if a: raise ValueError  # why": "if a: raise ValueError\n__checked__()  # why",
        "x.assertEqual(a, 1)": "__checked__(x.assertEqual(a, 1))",
        "with x.assertRaises(E): a()": "with __checked__(x.assertRaises(E)): a()",
        "while a:\n  if b: break\n  raise E": "while a:\n  if b: __checked__(); break\n  raise E",
        "for b in a:\n  raise E": "for b in a:\n  raise E\n__checked__()",
        "for b in a: c\nelse: raise E": "for b in a: c\nelse: raise E\n__checked__()",
        "try: a()\nexcept E: raise": "try: a()\nexcept E: raise\n__checked__()",
        "assert 'é'\nassert 'é' in a": "assert 'é'\nassert 'é' in a; __checked__()",
    }
    for source, expected in counted.items():
        assert scripts.prepare(source, "", "").source == expected


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("def verify():\n    assert add(1, 2) == 3", "makes no check"),
        ("print(add(1, 2))\ndef verify():\n    assert add(1, 2) == 3", "makes no check"),
        ("assert True", "makes no check"),
        ("assert (add(1, 2) == 3, 'always true')", "makes no check"),
        ("'assert add(1, 2) == 3'", "makes no check"),
        ("add(1, 2) == 3", "makes no check"),
        ("def test_sum(fixture):\n    assert add(1, 2) == 3", "makes no check"),
        ("class Test:\n    def __init__(self): pass\n    def test_sum(self):\n        assert add(1, 2)", "makes no check"),
        ("class Helper:\n    def test_sum(self):\n        assert add(1, 2) == 3", "makes no check"),
        (">>> add(1, 2)\n3", "not Python"),
        ("assert add(1, 2) ==", "not Python"),
        ("import numpy\nassert add(1, 2) == numpy.int64(3)", "numpy cannot be imported"),
        ("def test_sum():\n    from . import add\n    assert add(1, 2) == 3", "cannot be imported"),
        ("def setup_module(): pass\ndef test_sum():\n    assert add(1, 2) == 3", "pytest"),
    ],
)  # fmt: skip
def test_a_script_that_cannot_judge_is_no_verdict_before_anything_runs(script: str, words: str):
    with pytest.raises(Unverifiable, match=words):
        scripts.prepare(script, "add", "")


def test_the_names_that_a_solution_has_to_define_are_those_that_nobody_else_does():
    def wanted(script: str, prefix: str = "") -> list[str]:
        return scripts.prepare(script, "", prefix).wanted

    assert wanted("assert all(add(a, b) == c for a, b, c in rows)") == ["add", "rows"]
    assert wanted("from solution import add\nassert add(1) == 1") == ["add"]
    assert wanted("import math\nassert math.floor(f(1)) == twice(1)", "def twice(x): return x") == [
        "f"
    ]
