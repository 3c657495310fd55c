"""The outcomes of runs."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from patience import PATIENCE

from qvl.sandbox import Limits, run

MIB = 1 << 20


def test_a_source_reads_standard_input_and_writes_standard_output():
    outcome = run("print(int(input()) * 2)", b"21\n")
    assert (outcome.status, outcome.exit_code, outcome.stdout) == ("ok", 0, b"42\n")
    assert 0 < outcome.seconds < PATIENCE


def test_a_command_runs_without_python():
    outcome = run(["/usr/bin/wc", "-c"], b"12345")
    assert (outcome.status, outcome.stdout) == ("ok", b"5\n")


def test_files_are_read_only_beside_the_program():
    files = {"words.txt": b"a\0b", "big": b"x" * MIB}
    source = """
with open("/job/words.txt", "rb") as file: print(file.read())
with open("/job/big", "rb") as file: print(len(file.read()))
open("/job/words.txt", "wb")
"""
    outcome = run(source, files=files)
    assert outcome.stdout == b"b'a\\x00b'\n1048576\n"
    assert outcome.status == "failed"
    assert b"Read-only file system" in outcome.stderr


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("exit(3)", "failed", 3),
        ("quit()", "ok", 0),
        ("1 / 0", "failed", 1),
        ("def broken(:", "failed", 1),
        ("import os; os.abort()", "crash", 134),
        ("import os; os.kill(os.getpid(), 11)", "crash", 139),
    ],
)
def test_each_kind_of_exit_has_a_status(source: str, status: str, code: int):
    outcome = run(source)
    assert (outcome.status, outcome.exit_code) == (status, code)


def test_a_source_larger_than_a_command_line_runs():
    assert run("x = '" + "y" * (3 * MIB) + "'\nprint(len(x))").stdout == b"3145728\n"


def test_surrogates_and_null_bytes_in_a_source_are_failures_of_the_program():
    assert run("print('\ud800')").status in ("ok", "failed")
    assert run("print(1)\0").status == "failed"


def test_sets_come_in_the_same_order_each_time():
    source = "print(list({str(i) for i in range(100)}))"
    assert run(source).stdout == run(source).stdout


def test_output_before_a_limit_is_kept():
    source = "import time\nprint('so far', flush=True)\ntime.sleep(60)"
    outcome = run(source, limits=Limits(wall_seconds=1.5))
    assert (outcome.status, outcome.stdout) == ("timeout", b"so far\n")


def test_threads_share_nothing():
    def echo(number: int) -> bool:
        return run("print(input())", b"%d\n" % number).stdout == b"%d\n" % number

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(echo, range(40)))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> str:
    tasks = Path("/proc/self/task").iterdir()
    return " ".join((task / "children").read_text() for task in tasks)


def test_two_hundred_runs_leak_no_descriptor_and_no_process():
    run("")
    before, others = descriptors(), children()
    for i in range(200):
        kind = i % 20
        if kind == 0:
            run("while True: pass", limits=Limits(wall_seconds=0.2))
        elif kind == 1:
            run("print('x' * 10000)", limits=Limits(output_bytes=100))
        else:
            run(["/usr/bin/true"], b"never read")
    assert descriptors() == before
    assert children() == others
    assert threading.active_count() < 50


def test_a_parent_with_many_descriptors_passes_none_on():
    secret, end = os.pipe()
    os.set_inheritable(secret, True)
    source = """
import os
for fd in range(3, 64):
    try: os.fstat(fd)
    except OSError: continue
    print(fd)
"""
    try:
        assert run(source).stdout == b""
    finally:
        os.close(secret)
        os.close(end)


def test_a_parent_that_is_killed_takes_its_sandbox_along(tmp_path: Path):
    mark = f"{os.getpid()}98765"
    script = f"from qvl.sandbox import run; run(['/usr/bin/sleep', '{mark}'])"
    parent = subprocess.Popen([sys.executable, "-c", script])

    def sleeping() -> bool:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(path.read_bytes())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return f"/usr/bin/sleep\0{mark}\0".encode() in found

    def until(wanted: bool) -> bool:
        for _ in range(200):
            if sleeping() is wanted:
                return True
            time.sleep(0.05)
        return False

    assert until(True)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert until(False)


def test_a_parent_that_inherits_orphans_gets_none():
    """As the first process of a container does, where nobody reaps them."""
    code = """
import ctypes
from pathlib import Path
from qvl.sandbox import Limits, run
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
run("print(1)")
run("while True: pass", limits=Limits(wall_seconds=0.5))
run("import os; os.fork() or os.setsid(); import time; time.sleep(0 if os.getppid() else 100)")
for task in Path("/proc/self/task").iterdir(): print((task / "children").read_text())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_pool_of_threads_fits_the_default_limits():
    source = """
from concurrent.futures import ThreadPoolExecutor
import time
with ThreadPoolExecutor(32) as pool:
    print(sum(pool.map(lambda x: time.sleep(0.05) or len([x] * 1000), range(64))))
"""
    assert run(source).stdout == b"64000\n"
