"""`qvl man` shows a page wherever it is asked to, and writes pages only with -o."""

import os
import pty
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from shells import ROOT

pages = import_module("qvl.cli.pages")

QVL = Path(sys.executable).parent / "qvl"


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("cat", "QVL-CAT(1)"),
        ("rl prepare", "QVL-RL-PREPARE(1)"),
        ("'rl prepare'", "QVL-RL-PREPARE(1)"),
        ("qvl-rl-prepare", "QVL-RL-PREPARE(1)"),
        ("'qvl-cat(1)'", "QVL-CAT(1)"),
        ("filter-queries", "QVL-FILTER-QUERIES(1)"),
        ("qvl", "QVL(7)"),
        ("", "QVL(7)"),
        ("records", "QVL-RECORDS(5)"),
        ("qvl-records", "QVL-RECORDS(5)"),
        ("qvl-streams", "QVL-STREAMS(5)"),
    ],
)
def test_a_page_is_found_by_any_spelling_of_its_name(sh, words, title):
    done = sh(f"qvl man {words}")
    assert done.stdout.startswith(title) and not done.stderr


def test_a_pipe_gets_plain_text_at_its_width(sh):
    for columns in (60, 100):
        text = sh(f"COLUMNS={columns} qvl man records").stdout
        assert "\b" not in text and "\x1b" not in text
        prose = text.partition("JSON IN DETAIL")[0].splitlines()
        assert columns - 20 < max(map(len, prose)) <= columns


def test_a_terminal_gets_the_page_from_man_in_its_pager():
    leader, follower = pty.openpty()
    env = {**os.environ, "MANPAGER": "sed s/^/paged:/", "PAGER": "cat", "TERM": "xterm"}
    process = subprocess.Popen(
        [QVL, "man", "cat"], stdin=follower, stdout=follower, stderr=follower, env=env
    )
    os.close(follower)
    shown = b""
    while chunk := _read(leader):
        shown += chunk
    assert process.wait() == 0
    assert shown.startswith(b"paged:") and b"QVL-CAT(1)" in shown, shown


def _read(file: int) -> bytes:
    try:
        return os.read(file, 4096)
    except OSError:  # the other end is closed
        return b""


def test_where_nothing_formats_a_page_it_is_the_help(tmp_path):
    env = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([QVL, "man", "cat"], capture_output=True, text=True, env=env)
    assert done.stdout.startswith("Usage: qvl cat") and "--rejects FILE" in done.stdout
    done = subprocess.run([QVL, "man", "records"], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert "qvl-records.5 needs groff or man" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("catt", "did you mean cat?"),
        ("filter_queries", "did you mean filter-queries?"),
        ("rl", "did you mean rl prepare or rl potential or rl triggers or rl sapo?"),
        ("pages", "qvl --help lists the commands"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(sh, tmp_path, words, hint):
    before = sorted(tmp_path.iterdir())
    done = sh(f"qvl man {words}")
    assert done.returncode == 2
    assert done.stderr == f"qvl: error: no manual page {words!r}; {hint}\n"
    assert sorted(tmp_path.iterdir()) == before


def test_pages_are_written_with_o_alone(sh, tmp_path):
    assert sh("qvl man -o all && qvl man records -o one").returncode == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"qvl-records.5"}
    assert {path.name: path.read_text() for path in (tmp_path / "all").iterdir()} == {
        path.name: path.read_text() for path in (ROOT / "man").iterdir()
    }


def test_names_are_completed(sh):
    done = sh("_QVL_COMPLETE=complete_bash COMP_WORDS='qvl man rec' COMP_CWORD=2 qvl")
    assert done.stdout.split() == ["records", "recover"]


def test_a_page_has_the_exit_statuses_of_its_command():
    statuses = {
        name: set(pages.exit_statuses(pages.load(name))) for name in ("cat", "check", "eval")
    }
    assert statuses["cat"] == {0, 1, 2, 130}
    assert statuses["check"] == {0, 1, 2, 3, 130}
    assert statuses["eval"] == {0, 1, 2, 3, 4, 130}
    assert "--resume" in pages.exit_statuses(pages.load("eval"))[130]
    assert "--resume" not in pages.exit_statuses(pages.load("cat"))[130]
