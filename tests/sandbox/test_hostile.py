"""Hostile programs: all are ended in time, and none affects the next run."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from patience import PATIENCE

from qvl.sandbox import Limits, Outcome, run

MIB = 1 << 20
QUICK = Limits(wall_seconds=1.5, cpu_seconds=1, memory_bytes=256 * MIB, output_bytes=MIB)
"""For what must be ended."""
PATIENT = replace(QUICK, wall_seconds=PATIENCE, cpu_seconds=PATIENCE)
"""For what ends by itself."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of this machine may read and write."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def attack(source: str, stdin: bytes = b"", limits: Limits = PATIENT) -> Outcome:
    """Run a hostile source; it ends in time, and leaves the next run alone."""
    begin = time.monotonic()
    outcome = run(source, stdin, limits)
    assert time.monotonic() - begin < limits.wall_seconds + PATIENCE
    after = run("print('well')", limits=PATIENT)
    assert (after.status, after.stdout) == ("ok", b"well\n")
    return outcome


def marked(mark: str) -> list[str]:
    """Processes of this machine whose command line holds a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if mark in line:
            found.append(line)
    return found


def test_a_fork_bomb():
    outcome = attack(
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        limits=QUICK,
    )
    assert outcome.status == "timeout"


def test_forks_are_limited_within_the_sandbox_and_not_by_the_neighbours():
    source = """
import os, time
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            time.sleep(60)
        n += 1
except OSError: pass
print(n)
"""
    outcome = attack(source, limits=Limits(processes=10, wall_seconds=10))
    assert outcome.stdout == b"9\n"


@pytest.mark.parametrize(
    "source",
    [
        "x = bytearray(1 << 30)",
        "x = []\nwhile True: x.append('y' * 1000000)",
        "import mmap\nx = mmap.mmap(-1, 1 << 30)\nx.write(b'y' * (1 << 30))",
    ],
)
def test_a_memory_bomb(source: str):
    assert attack(source, limits=Limits(memory_bytes=128 * MIB)).status in ("memory", "failed")


def test_a_memory_bomb_in_many_processes():
    source = """
import os, time
for _ in range(8):
    if os.fork() == 0: break
x = bytearray(os.urandom(1 << 20)) * 100
time.sleep(60)
"""
    limits = Limits(memory_bytes=200 * MIB, wall_seconds=PATIENCE, cpu_seconds=PATIENCE)
    outcome = attack(source, limits=limits)
    assert outcome.status == "memory"


def test_memory_shared_by_forks_is_counted_once():
    source = """
import os, time
x = bytearray(b'y') * (60 << 20)
children = [pid for pid in (os.fork() for _ in range(3)) if pid]
time.sleep(0.3)
for pid in children: os.waitpid(pid, 0)
"""
    assert attack(source, limits=Limits(memory_bytes=150 * MIB)).status == "ok"


@pytest.mark.parametrize(
    "call",
    [
        "import os; os.memfd_create('x')",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.shmget(0, 1 << 20, 0o1600) >= 0, ctypes.get_errno()",
    ],
)
def test_memory_outside_the_limits_is_refused(call: str):
    outcome = attack(call)
    assert outcome.status == "failed"
    assert b"PermissionError" in outcome.stderr or b"AssertionError: 1" in outcome.stderr


@pytest.mark.parametrize("stream", [1, 2])
def test_endless_output(stream: int):
    outcome = attack(f"import os\nwhile True: os.write({stream}, b'x' * 65536)")
    assert outcome.status == "output"
    assert len(outcome.stdout if stream == 1 else outcome.stderr) == QUICK.output_bytes


def test_output_at_the_limit_is_within_it():
    outcome = attack(f"import sys; sys.stdout.write('x' * {MIB})")
    assert (outcome.status, len(outcome.stdout)) == ("ok", MIB)


def test_sleeping_forever():
    assert attack("import time; time.sleep(1e6)", limits=QUICK).status == "timeout"


def test_sleeping_with_all_pipes_closed():
    outcome = attack(
        "import os, time\nfor fd in range(3): os.close(fd)\ntime.sleep(1e6)", limits=QUICK
    )
    assert outcome.status == "timeout"


def test_an_endless_loop():
    assert attack("while True: pass", limits=QUICK).status == "timeout"


def test_processor_time_is_that_of_all_processes():
    source = """
import os, time
while True:
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
    os.wait()
"""
    outcome = attack(source, limits=Limits(cpu_seconds=1, wall_seconds=2 * PATIENCE))
    assert outcome.status == "timeout"
    assert outcome.seconds < PATIENCE


def test_ignoring_signals():
    source = """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)
"""
    assert attack(source, limits=QUICK).status == "timeout"


def test_a_daemon_does_not_outlive_its_program():
    mark = f"7{os.getpid()}31"
    source = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(3): os.close(fd)
        os.execv("/usr/bin/sleep", ["sleep", "{mark}"])
    os._exit(0)
print("gone")
"""
    outcome = attack(source)
    assert (outcome.status, outcome.stdout) == ("ok", b"gone\n")
    assert marked(mark) == []


def test_zombie_children():
    source = """
import os
for _ in range(30):
    if os.fork() == 0: os._exit(0)
import time; time.sleep(0.2)
print("left")
"""
    assert attack(source).stdout == b"left\n"


def test_writing_outside(folder: Path):
    target = folder / "written"
    source = f"""
import os
for path in ["{target}", "/x", "/usr/x", "/usr/bin/x", "/etc/x", "/dev/x", "/job/x", "/proc/x", "/home/x"]:
    try:
        open(path, "w").write("here")
        print("wrote", path)
    except OSError: pass
try: os.remove("/usr/bin/env"); print("removed")
except OSError: pass
open("/tmp/allowed", "w").write("x")
print(os.listdir("/tmp"))
"""
    assert attack(source).stdout == b"['allowed']\n"
    assert not target.exists()
    assert attack("import os; print(os.listdir('/tmp'))").stdout == b"[]\n"


def test_a_file_and_the_scratch_folder_have_limits():
    big = "open('/tmp/x', 'wb').write(b'x' * (3 << 20))"
    assert b"File too large" in attack(big, limits=Limits(file_bytes=MIB)).stderr
    many = "for i in range(9): open(f'/tmp/{i}', 'wb').write(b'x' * (1 << 20))"
    outcome = attack(many, limits=Limits(scratch_bytes=4 * MIB))
    assert b"No space left" in outcome.stderr


def test_reading_secrets(folder: Path):
    secret = folder / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    source = f"""
import glob
for path in ["{secret}", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/proc/1/environ", "/proc/self/environ",
             "/proc/cpuinfo", "/sys/kernel/uevent_helper", *glob.glob("/home/*/.*"), *glob.glob("/root/.*"),
             "/var/run/secrets", "/dev/mem", "/dev/vda", "/dev/sda", "/dev/kmsg"]:
    try: print(path, open(path, "rb").read(100))
    except OSError: pass
"""
    assert attack(source).stdout == b""


def test_reading_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QVL_TEST_TOKEN", "s3cret")
    outcome = attack("import os; print(sorted(os.environ))")
    assert (
        outcome.stdout == b"['HOME', 'LANG', 'MALLOC_ARENA_MAX', 'PATH', 'PWD', 'PYTHONHASHSEED']\n"
    )


def test_sockets():
    source = """
import socket
for family in ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_VSOCK", "AF_PACKET", "AF_ALG"]:
    for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET]:
        try: socket.socket(getattr(socket, family), kind); print("opened", family)
        except OSError: pass
try: socket.create_connection(("127.0.0.1", 22), 1); print("connected")
except OSError: pass
try: socket.getaddrinfo("example.org", 80); print("resolved")
except OSError: pass
left, right = socket.socketpair(); left.send(b"x"); print(right.recv(1))
"""
    assert attack(source).stdout == b"b'x'\n"


CALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) >= 0: print(name, "succeeded")
"""


def test_tracing_and_signalling_the_parent():
    source = f"""{CALLS}
for pid in [1, os.getppid(), {os.getpid()}]:
    call("ptrace", 16, pid, 0, 0)
    call("ptrace", 0x4206, pid, 0, 0)
call("ptrace", 0, 0, 0, 0)
for pid in [{os.getpid()}, {os.getppid()}]:
    try: os.kill(pid, 9); print("killed", pid)
    except OSError: pass
os.kill(1, 9)  # process 1 of a namespace is deaf to its children
print("end")
"""
    assert attack(source).stdout == b"end\n"


def test_becoming_root_and_new_namespaces():
    source = f"""{CALLS}
call("unshare", 0x10000000)
call("unshare", 0x00020000)
call("setns", 0, 0)
call("mount", b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount2", b"/tmp", 2)
call("chroot", b"/tmp")
call("syscall", 56 if os.uname().machine == "x86_64" else 220, 0x10000011, 0, 0, 0, 0)
call("setuid", 0)
call("setgid", 0)
call("setgroups", 0, 0)
call("sethostname", b"x", 1)
for program in ["/usr/bin/su", "/usr/bin/mount", "/usr/bin/newgrp"]:
    if os.path.exists(program) and os.system(program + " < /dev/null > /dev/null 2>&1") == 0 and os.getuid() == 0:
        print(program)
print("end")
"""
    assert attack(source).stdout == b"end\n"


def test_raising_the_limits():
    source = """
import resource
for name in ["RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"]:
    soft, hard = resource.getrlimit(getattr(resource, name))
    assert hard != resource.RLIM_INFINITY, name
    try: resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1)); print("raised", name)
    except (ValueError, OSError): pass
print("end")
"""
    assert attack(source).stdout == b"end\n"


def test_symbolic_links_lead_nowhere(folder: Path):
    (folder / "secret").write_text("s3cret")
    source = f"""
import os
os.symlink("{folder}/secret", "/tmp/a")
os.symlink("/", "/tmp/root")
os.symlink("/tmp/loop", "/tmp/loop")
for path in ["/tmp/a", "/tmp/root/..{folder}/secret", "/tmp/loop", "/tmp/../../../../..{folder}/secret"]:
    try: print(open(path).read())
    except OSError: pass
for target in ["/usr/bin/env", "/job/main.py"]:
    try: os.link(target, "/tmp/link"); open("/tmp/link", "a"); print("linked", target)
    except OSError: pass
os.mkdir("/tmp/deep"); os.chdir("/tmp/deep")
for i in range(200):
    os.mkdir("d" * 200); os.chdir("d" * 200)
print("end")
"""
    assert attack(source).stdout == b"end\n"


def test_ten_megabytes_of_input_that_nobody_reads():
    stdin = b"x" * (10 * MIB)
    outcome = attack("print('done')", stdin)
    assert (outcome.status, outcome.stdout) == ("ok", b"done\n")
    assert attack("import time; time.sleep(60)", stdin, QUICK).status == "timeout"


def test_ten_megabytes_of_input_that_come_back():
    stdin = b"x" * (10 * MIB)
    source = "import sys\nfor block in iter(lambda: sys.stdin.buffer.read(65536), b''): sys.stdout.buffer.write(block)"
    outcome = attack(source, stdin, Limits(output_bytes=16 * MIB))
    assert outcome.status == "ok"
    assert outcome.stdout == stdin
    assert attack(source, stdin).status == "output"


def test_a_forged_report_is_not_believed():
    source = """
import os
for fd in range(3, 64):
    try: os.write(fd, b'{"exit-code": 0}\\n')
    except OSError: pass
print('{"exit-code": 0}')
exit(5)
"""
    assert attack(source).exit_code == 5
