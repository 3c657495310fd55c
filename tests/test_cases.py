"""Golden cases: tests/cases/COMMAND/CASE/ holds a shell line, its input, and all that comes of it.

`cmd` is run in a copy of the folder, which holds in.jsonl; `out.jsonl` is the standard output, `err`
the standard error (seconds read "N s"; a status other than 0 is its last line); every other file of
the folder is one that the line writes. A case is made by writing `cmd` and `in.jsonl`, running
`pytest tests/test_cases.py --rewrite`, and reading the difference.
"""

import re
import shutil
from pathlib import Path

import pytest
from shells import shell

CASES = Path(__file__).parent / "cases"
GIVEN = ("cmd", "in.jsonl")


def cases():
    return sorted(path.parent for path in CASES.glob("*/*/cmd"))


def run(case, folder):
    """Name -> content of everything that the case's line writes."""
    for name in GIVEN:
        if (case / name).exists():
            shutil.copy(case / name, folder)
    done = shell(folder)((case / "cmd").read_text(encoding="utf-8"))
    err = re.sub(r"\b\d+\.\d s$", "N s", done.stderr, flags=re.MULTILINE)
    if done.returncode:
        err += f"status {done.returncode}\n"
    written = {path.name: path for path in folder.iterdir() if path.name not in GIVEN}
    files = {name: path.read_text(encoding="utf-8") for name, path in written.items()}
    return {"out.jsonl": done.stdout, "err": err, **files}


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_a_case_gives_what_it_gave(case, tmp_path, request):
    found = run(case, tmp_path)
    if request.config.getoption("--rewrite"):
        for name, content in found.items():
            (case / name).write_text(content, encoding="utf-8")
    wanted = {path.name for path in case.iterdir()} - set(GIVEN)
    assert set(found) == wanted
    for name, content in found.items():
        assert content == (case / name).read_text(encoding="utf-8"), name


def test_every_case_tests_the_command_of_its_folder():
    assert cases()
    for case in cases():
        assert f"qvl {case.parent.name.replace('_', ' ')} " in (case / "cmd").read_text()
