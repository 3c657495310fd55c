"""A terminal shows progress, a rate and the time left; elsewhere there is one summary line."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

QVL = str(Path(sys.executable).parent / "qvl")


def on_a_terminal(folder: Path, *words: str, **env: str) -> str:
    """What a command shows on a terminal's standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [QVL, *words],
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
    assert process.wait() == 0
    return shown.decode()


def big(folder: Path) -> None:
    """What takes filter-responses some seconds, so that there is something to estimate."""
    turns = '{"role":"user","content":"Why?"},{"role":"assistant","content":"Because of %s."}'
    line = '{"id":"a","messages":[' + turns % ("one reason and another, " * 20) + "]}\n"
    (folder / "in.jsonl").write_text(line * 80_000)


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


def test_cron_sees_one_line(sh):
    done = sh("qvl cat records.jsonl.zst -o out.zst")
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
