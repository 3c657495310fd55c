import signal
import subprocess
import sys

import pytest

# Told to end after its command has ended, while the interpreter goes through what it does at the end.
IS_SIGNALLED_AT_ITS_END = """
import atexit, os, sys
from importlib.metadata import entry_points
atexit.register(os.kill, os.getpid(), int(sys.argv.pop(1)))
(script,) = entry_points(group="console_scripts", name="qvl")
script.load()()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_very_end_is_no_traceback(number):
    command = [sys.executable, "-c", IS_SIGNALLED_AT_ITS_END, str(int(number)), "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -number and not done.stderr


RUNS_AND_TELLS = """
import gc, sys
from qvl.cli.__main__ import main
try:
    main()
except SystemExit:
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


def test_the_garbage_collector_is_on_again_once_a_command_is_imported():
    command = [sys.executable, "-c", RUNS_AND_TELLS, "cat", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True"
