import os
import pty
import subprocess
import sys
from pathlib import Path

from shells import shell

from qvl.io import jsonl

QVL = str(Path(sys.executable).parent / "qvl")


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
