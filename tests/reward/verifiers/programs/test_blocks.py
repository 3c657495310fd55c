"""Which block of a response is its program."""

import time

import pytest
from patience import PATIENCE

from qvl.reward.verifiers.programs import blocks
from qvl.text.thinking import answer_text


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("```python\na\n```\nthen\n```python\nb\n```", "b\n"),
        ("```python\ndef f(): 1\n```\nuse:\n```python\nf()\n```", "def f(): 1\n"),
        ("```\na\n```", "a\n"),
        ("```Python3\na\n```\n```bash\nls\n```", "a\n"),
        ("- so:\n  ```py\n  a\n  b\n  ```", "a\nb\n"),
        ("def f(): 2", "def f(): 2"),
        ("```python title=x\na\n```", "a\n"),
        ("```python\ncut", ""),
        ("<think>\n```python\na\n```\n</think>\n```python\nb\n```", "b\n"),
        ("<think>\n```python\na\n```", ""),
        ("", ""),
    ],
)
def test_the_program_is_the_last_block_after_thinking(content: str, found: str):
    assert blocks.program(answer_text({"content": content}), {"f"}) == found


def test_a_text_of_fences_alone_is_read_in_linear_time():
    for text in ("```a\n" * 300_000, "```\n" * 300_000, " " * 1_000_000 + "```", "`" * 1_000_000):
        begin = time.monotonic()
        blocks.program(text, {"f"})
        assert time.monotonic() - begin < PATIENCE


READ = "n = int(input())\nprint(n)\n"


@pytest.mark.parametrize(
    "after",
    [
        "For the input\n```\n3\n1 2 3\n```\nit prints\n```\n6\n```",
        "```\nO(n)\n```",
        "```text\nprint(6)\n```",
        "```\npython3 sum.py < print.txt\n```",
        "```\n$ echo 3 | python -c 'print(1)'\n```",
        "```bash\npython3 sum.py\n```",
        "```python\n>>> print(3)\n3\n```",
        "```python\n3\n```",
        "```python\nprint(sum([1, 2]))\n```",
        "~~~\n6\n~~~",
        "````\nYES\n````",
        "```python\nprint(cut",
    ],
)
@pytest.mark.parametrize("fence", ["```", "~~~", "````", "~~~~~"])
@pytest.mark.parametrize("tag", ["python", "Python3", "py", "{.python}", "python title=a", ""])
def test_what_stands_after_a_program_is_not_it(fence: str, tag: str, after: str):
    text = f"Here:\n\n{fence}{tag}\n{READ}{fence}\nThen.\n\n{after}"
    is_outweighed = not tag and "sum([" in after  # by a block that says Python
    found = "print(sum([1, 2]))\n" if is_outweighed else READ
    assert blocks.program(text, reads=True) == found


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("```\nf(2)\n```\n```\nf = lambda x: x\n```\n```\nf(3)\n```", {"f"}, "f = lambda x: x\n"),
        ("```\nclass S:\n    def f(self): 1\n```\n```\nprint(S().f())\n```", {"f"}, None),
        ("```python\ndef f(): 1\ndef g(): 2\n```\n```python\ndef f(): 3\n```", {"f", "g"}, None),
        ("```python\ndef f(): 1\n```\n```python\ndef f(): 2\n```", {"f"}, "def f(): 2\n"),
        ("```python\ndef f(): 1\n```\n```\ndef f(): 2\n```", {"f"}, "def f(): 1\n"),
        ("```python\nf == 1\n```\n```python\nx\n```", {"f"}, "x\n"),
        ("````python\na = '''\n```\nb\n```\n'''\n````", (), "a = '''\n```\nb\n```\n'''\n"),
        ("````markdown\n```python\nprint(1)\n```\n````", (), "print(1)\n"),
        ("~~~python\nprint(1)\n```\n~~~", (), "print(1)\n```\n"),
        ("``` python\nprint(1)\n```", (), "print(1)\n"),
        ("```c++\nint main() {}\n```", (), ""),
        ("~~~python\ncut", (), ""),
    ],
)
def test_the_program_defines_what_is_called(text: str, names, found: str | None):
    found = text.split("\n", 1)[1].split("```")[0] if found is None else found
    assert blocks.program(text, names) == found
