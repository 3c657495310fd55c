"""A terminal shows progress, a rate and the time left; elsewhere there is one summary line."""

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

QVL = str(Path(sys.executable).parent / "qvl")
IN_SHELL = shlex.quote(QVL)


def on_a_terminal(folder: Path, *words: str, **env: str) -> str:
    """What a command shows on a terminal's standard error."""
    return shown_by([QVL, *words], folder, **env)


def shown_by(command: list[str], folder: Path, **env: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm", **env},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other side has closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def screens(shown: str) -> Iterator[list[str]]:
    """What the terminal shows each time that all below the cursor has been erased."""
    rows, place, begins = [""], 0, True
    for part in re.split(r"(\x1b\[[\d;?]*[a-zA-Z]|\n|\r)", shown):
        if re.fullmatch(r"\x1b\[\d+A", part):
            place -= int(part[2:-1])
            assert place >= 0
        elif part == "\n":
            place += 1
            rows += [""] * (place + 1 - len(rows))
        elif part == "\x1b[J":
            del rows[place + 1 :]
            rows[place] = ""
            yield list(rows)
        elif part == "\r":
            begins = True
        elif part and not part.startswith("\x1b"):
            rows[place] = part if begins else rows[place] + part
            begins = False
    yield rows


def big(folder: Path, count: int = 80_000) -> None:
    """What takes filter-responses some seconds, so that there is something to estimate."""
    turns = '{"role":"user","content":"Why?"},{"role":"assistant","content":"Because of %s."}'
    line = '{"id":"a","messages":[' + turns % ("one reason and another, " * 20) + "]}\n"
    (folder / "in.jsonl").write_text(line * count)


def test_a_terminal_sees_records_a_rate_and_the_time_left(tmp_path):
    big(tmp_path)
    shown = on_a_terminal(tmp_path, "filter-responses", "in.jsonl", "-o", "out.zst")
    assert re.search(
        r"qvl filter-responses [\d,]+ records [\d,]+/s", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    )
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert "80,000 read" in shown


def test_no_color_is_respected(tmp_path):
    big(tmp_path)
    shown = on_a_terminal(tmp_path, "filter-responses", "in.jsonl", "-o", "out.zst", NO_COLOR="1")
    assert "records" in shown
    assert not re.search(r"\x1b\[[\d;]*3\dm", shown)


def test_each_command_of_a_pipeline_has_a_line(tmp_path):
    big(tmp_path, 20_000)
    (tmp_path / "tmp").mkdir()
    script = (
        f"{IN_SHELL} filter-responses in.jsonl | {IN_SHELL} set n=1 | {IN_SHELL} cat -o out.zst"
    )
    shown = shown_by(
        ["setsid", "--wait", "bash", "-c", script], tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "tmp")
    )
    *between, last = screens(shown)
    commands = ["filter-responses", "set", "cat"]
    bars = [[line for line in rows if "records" in line] for rows in between]
    assert any([line.split()[1] for line in lines] == commands for lines in bars)
    assert max(map(len, bars)) == 3
    *summaries, end = last
    assert end == "" and sorted(line.split()[1] for line in summaries) == [
        "cat:",
        "filter-responses:",
        "set:",
    ]
    assert all(" read, 0 kept" in line for line in summaries)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_command_that_was_killed_leaves_no_line(tmp_path):
    (tmp_path / "tmp").mkdir()
    record = '{"id":"a","messages":[]}'
    script = f"""
    {IN_SHELL} cat - -o a.zst < <(yes '{record}') & first=$!
    sleep 4; kill -9 $first; wait $first
    yes '{record}' | head -3 | {IN_SHELL} set n=1 -o b.zst
    """
    shown = shown_by(
        ["setsid", "--wait", "bash", "-c", script], tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "tmp")
    )
    assert "qvl cat" in shown
    *_, last = screens(shown)
    assert "qvl set: 3 read, 3 kept" in last[-2]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_cron_sees_one_line(sh):
    done = sh("qvl cat records.jsonl.zst -o out.zst")
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
