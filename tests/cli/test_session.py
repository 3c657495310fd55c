import os
import pty
import subprocess
import sys
from pathlib import Path

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
