import os
import pty
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from shells import shell

from qvl.io import jsonl
from qvl.stage import Run

QVL = str(Path(sys.executable).parent / "qvl")
session = import_module("qvl.cli.session")


def test_a_command_that_reads_from_a_terminal_says_so(tmp_path):
    leader, follower = pty.openpty()
    command = [QVL, "cat", "-o", "out.jsonl"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(follower)
    assert process.stderr
    assert "qvl cat: reading records from the terminal; Ctrl-D" in process.stderr.readline()
    os.write(leader, b'{"id":"a"}\n\x04')
    assert process.wait(60) == 0
    os.close(leader)
    assert (tmp_path / "out.jsonl").read_text() == '{"id":"a"}\n'


LONG = """
import sys
from importlib import import_module
session = import_module("qvl.cli.session")
signs, session.signs_of_life = session.signs_of_life, lambda run: signs(run, 0.2)
sys.argv[0] = "qvl"
import_module("qvl.cli.main").main()
"""


def test_a_long_run_gives_signs_of_life_in_a_log_at_pauses_that_double(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LONG, "cat", "-", "-o", "out.jsonl"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stderr
    said = [process.stderr.readline() for _ in range(3)]
    assert all(line.startswith("qvl cat: 0 read, 0 kept, 0/s after 0:00:0") for line in said), said
    process.stdin.write('{"id":"a"}\n')
    process.stdin.close()
    *_, last = process.stderr.read().splitlines()
    assert "1 read, 1 kept" in last and process.wait(60) == 0


@pytest.mark.parametrize("count", [100, 20_000])
def test_the_time_left_is_estimated_until_all_of_the_input_is_read(tmp_path, capsys, count):
    path = str(tmp_path / "in.jsonl")
    jsonl.write(({"id": f"{number:099}"} for number in range(count)), path)
    run = Run("cat", [path], None)
    with run, session.signs_of_life(run, 0.05):
        next(iter(run))
        time.sleep(0.2)
        assert ("left" in capsys.readouterr().err) == (count == 20_000)


def test_a_command_that_reads_a_pipe_or_a_file_does_not(sh):
    done = sh("cat records.jsonl.zst | qvl cat | qvl recover | qvl cat - -o x.zst")
    assert "terminal" not in done.stderr


def test_an_output_that_leaves_the_folder_of_its_media_says_so(tmp_path):
    run = shell(tmp_path)
    (tmp_path / "data").mkdir()
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "?"}]
    records = [{"id": "a", "messages": [{"role": "user", "content": parts}]}]
    jsonl.write(records, str(tmp_path / "data" / "in.zst"))
    said = "media paths are relative to data"
    assert said in run("qvl cat data/in.zst -o out.zst").stderr
    assert said in run("qvl lineage --json out.zst | tr _ ' '").stdout.replace('":"', " ")
    for quiet in (
        "data/in.zst -o data/out.zst",
        "data/in.zst | zstdcat",
        "- < data/in.zst -o x.zst",
    ):
        assert said not in run(f"qvl cat {quiet}").stderr
    parts[0]["image"] = "/absolute/a.png"
    jsonl.write(records, str(tmp_path / "data" / "in.zst"))
    assert said not in run("qvl cat data/in.zst -o out.zst").stderr
