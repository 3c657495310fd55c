"""The journal of an output belongs to one run at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from qvl.errors import UserError
from qvl.io.journal import Journal, key

HOLD = """
import sys
from qvl.io.journal import Journal
journal = Journal(sys.argv[1], {}, resume=True)
journal.add({"id": "a"}, {"kept": {}})
journal.flush()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_of_an_output_is_told_who_has_it(tmp_path):
    output = str(tmp_path / "out.zst")
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, output],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout and first.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"out.zst.journal: process {first.pid} is writing it"):
        Journal(output, {}, resume=True)
    first.kill()
    first.wait()
    journal = Journal(output, {}, resume=True)  # the lock has ended with the process
    assert journal.replay({"id": "a"}) == {"key": key({"id": "a"}), "kept": {}}
    journal.close(done=True)
    assert not Path(output + ".journal").exists()


def test_a_run_that_ends_gives_its_journal_free(tmp_path):
    output = str(tmp_path / "out.zst")
    for _ in range(3):
        Journal(output, {}, resume=False).close(done=False)
    Journal(output, {}, resume=False).add({"id": "a"}, {"kept": {}})
