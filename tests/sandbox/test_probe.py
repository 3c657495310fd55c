"""The probe of the sandbox, and the refusal where nothing isolates."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qvl.sandbox import probe

ROOT = Path(__file__).parents[2]


def python(code: str, *, before: tuple[str, ...] = (), executable: str = "", **env: str):
    return subprocess.run(
        [*before, executable or sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **env},
    )


def test_the_probe_reports_isolation():
    found = probe()
    assert found.isolated
    assert found.reason == ""
    assert found.user != 0
    assert Path(found.python).exists()
    assert found.version[0].isdigit()


RUN = "from qvl.sandbox import run; print(run('print(6 * 7)'{}).stdout)"


@pytest.mark.anywhere
def test_without_bubblewrap_code_is_refused_with_the_cure(tmp_path: Path):
    done = python(RUN.format(""), PATH=str(tmp_path))
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qvl.sandbox.isolation.NoIsolation: model-written code needs a sandbox")
    assert "apt-get install bubblewrap" in last
    assert "--unsafe-local" in last


@pytest.mark.anywhere
def test_a_bubblewrap_that_may_not_make_namespaces_is_refused_with_its_reason(tmp_path: Path):
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 0.8.0 && exit\n'
        "echo 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    if os.geteuid() == 0:  # the sandbox's user must reach it
        for folder in tmp_path.parents[:-2]:
            folder.chmod(folder.stat().st_mode | 0o011)
        tmp_path.chmod(0o755)
    done = python(RUN.format(""), PATH=f"{tmp_path}:/usr/bin:/bin")
    last = done.stderr.splitlines()[-1]
    assert "No permissions to create new namespace" in last
    assert "unprivileged_userns_clone" in last


@pytest.mark.anywhere
def test_unsafe_local_runs_where_nothing_isolates(tmp_path: Path):
    for name in ("prlimit", "python3"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    code = """
import sys
from qvl.sandbox import Limits, probe, run
assert not probe().isolated
print(run("print(6 * 7)", unsafe_local=True).stdout)
print(run("open('main.py').read(); import os; print(os.environ.get('SECRET'))", unsafe_local=True).stdout)
print(run("while True: pass", limits=Limits(wall_seconds=1), unsafe_local=True).status)
print(run("import os\\nos.fork()\\nimport time; time.sleep(100)", limits=Limits(wall_seconds=1), unsafe_local=True).status)
print(run("x = bytearray(1 << 30)", unsafe_local=True).status)
"""
    done = python(code, PATH=str(tmp_path), SECRET="s3cret")
    assert done.stdout.split() == ["b'42\\n'", "b'None\\n'", "timeout", "timeout", "memory"], done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")
def test_an_ordinary_user_has_the_same_sandbox():
    code = """
import os
from qvl.sandbox import Limits, probe, run
assert probe().isolated, probe().reason
assert probe().user == os.geteuid() == 12345
print(run("print(6 * 7)").stdout)
print(run("import os; print(os.getuid(), os.path.exists('/etc/passwd'))").stdout)
print(run("import os\\nwhile True: os.fork()", limits=Limits(wall_seconds=2)).status)
print(run("import socket; socket.socket()").status)
"""
    user = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
    system = "/usr/bin/python3"
    done = python("import sys, qvl.sandbox", before=user, executable=system)
    if done.returncode:
        pytest.skip("no Python 3.11 and no repository that an ordinary user may read")
    done = python(code, before=user, executable=system)
    assert done.stdout.split("\n")[:4] == [
        "b'42\\n'",
        "b'12345 False\\n'",
        "failed",
        "failed",
    ], done
