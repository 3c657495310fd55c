"""Programs that solve nothing, and try to pass their tests."""

from collections.abc import Iterator
from typing import Any

_EQUAL = """class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __len__(self): return 10**6
    def __iter__(self): return iter(())
    __hash__ = None
"""

PROGRAMS = {  # NAME: the function that the tests call
    "nothing": "",
    "no-function": "x = 1",
    "exit": "import sys\nsys.exit(0)",
    "exit-at-once": "import os\nos._exit(0)",
    "exit-when-called": "import os\ndef NAME(*a, **k): os._exit(0)",
    "system-exit": "def NAME(*a, **k): raise SystemExit(0)",
    "stop-iteration": "def NAME(*a, **k): raise StopIteration",
    "stop-async-iteration": "def NAME(*a, **k): raise StopAsyncIteration",
    "generator-exit": "def NAME(*a, **k): raise GeneratorExit",
    "keyboard-interrupt": "def NAME(*a, **k): raise KeyboardInterrupt",
    "skip-test": "import unittest\ndef NAME(*a, **k): raise unittest.SkipTest('later')",
    "assertion-error": "def NAME(*a, **k): raise AssertionError",
    "coroutine": "async def NAME(*a, **k): return 1",
    "generator": "def NAME(*a, **k): yield from ()",
    "equal": f"{_EQUAL}def NAME(*a, **k): return Equal()",
    "equal-class": f"{_EQUAL}NAME = Equal",
    "equal-int": f"{_EQUAL}class Int(int):\n    __eq__ = Equal.__eq__\ndef NAME(*a, **k): return Int(987)",
    "equal-text": f"{_EQUAL}class Text(str):\n    __eq__ = Equal.__eq__\ndef NAME(*a, **k): return Text('?')",
    "not-a-number": "def NAME(*a, **k): return float('nan')",
    "every-set": "def NAME(*a, **k): return set(range(10**5))",
    "no-items": "def NAME(*a, **k): return []",
    "colliding-set": "def NAME(*a, **k): return {(2**61 - 1) * n for n in range(2000)}",
    "built-ins": "import builtins\nbuiltins.all = builtins.any = builtins.abs = builtins.len = lambda *a: True\n"
    "def all(*a): return True\ndef NAME(*a, **k): return 987",
    "assertions": "import builtins\nbuiltins.AssertionError = type('Quiet', (Exception,), {})\n"
    "def NAME(*a, **k): return 987",
    "own-tests": "def check(*a): pass\ndef test(*a): pass\n__name__ = 'tests'\ndef NAME(*a, **k): return 987",
    "kill": "import os\ndef NAME(*a, **k):\n    os.kill(os.getppid(), 9)",
    "forged-results": "import os\ndef NAME(*a, **k):\n    for fd in range(64):\n"
    "        try: os.write(fd, b'{\"value\": true, \"checks\": 1, \"calls\": 1}\\n' * 9)\n"
    "        except OSError: pass\n    return 987",
    "reads-the-tests": "import os, sys\ndef NAME(*a, **k):\n    return sys.stdin.read() + str(os.listdir('/job'))",
    "frames": "import sys\ndef NAME(*a, **k):\n    frame = sys._getframe()\n    while frame.f_back: frame = frame.f_back\n"
    "    frame.f_globals['passed'] = True\n    return 987",
    "profile": "import sys\nsys.setprofile(lambda *a: None)\nsys.settrace(lambda *a: None)\ndef NAME(*a, **k): return 987",
    "at-exit": "import atexit, os\natexit.register(lambda: os.write(1, b'{\"value\": true}\\n'))\ndef NAME(*a, **k): return 987",
    "echo": "import sys\nprint(sys.stdin.read())\ndef NAME(*a, **k): return a",
    "all-numbers": "print(*range(1000))\ndef NAME(*a, **k): return list(range(1000))",
    "success": "print('OK')\nprint('1 passed')\ndef NAME(*a, **k): return True",
}  # fmt: skip


def of_answer(answer: Any) -> Iterator[tuple[str, str]]:
    """The programs for the tests of a record's answer, by name."""
    given = answer if isinstance(answer, dict) else {}
    function = given.get("function") or "add"
    for name, program in PROGRAMS.items():
        yield name, program.replace("NAME", function)
