"""examples/models/slurm.sh on a real Slurm of two one-core nodes on this machine: a step that is slow is
finished and saved after the signal, and the job goes on where it stopped.

Needs root and Debian's slurm-wlm and munge; skipped without.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shells import ROOT, shell

from qvl.io import jsonl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("slurmctld") is None or shutil.which("munged") is None or os.getuid() != 0,
        reason="needs Slurm, munge and root",
    ),
]
CONF = """
ClusterName=qvl
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName=n[1-2] NodeHostname={host} Port=[{node_1}-{node_2}] CPUs=1 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""
Slurm = Callable[[str], str]


def free_ports() -> list[int]:
    """Three free ones; those of the nodes follow each other."""
    while True:
        probes = [socket.socket() for _ in range(3)]
        try:
            probes[0].bind(("", 0))
            probes[1].bind(("", 0))
            probes[2].bind(("", probes[1].getsockname()[1] + 1))
            return [probe.getsockname()[1] for probe in probes]
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    """A command of this Slurm, which must succeed; what it prints."""
    folder = tmp_path / "slurm"
    for name in ("state", "spool.n1", "spool.n2"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    port, node_1, node_2 = free_ports()
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, port=port, node_1=node_1, node_2=node_2))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    env = {**os.environ, "SLURM_CONF": str(conf)}
    socket_ = folder / "munge.socket"
    munged = subprocess.Popen(
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_}",
         f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = [munged]
    while not socket_.exists():
        assert munged.poll() is None
        time.sleep(0.1)
    for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
        started.append(
            subprocess.Popen(
                [*command, "-D", "-f", str(conf)],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def run(line: str) -> str:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**env, "PATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout.strip()

    try:
        until = time.monotonic() + 60
        while run("sinfo -h -t idle -o %D") != "2":
            assert time.monotonic() < until, (folder / "ctld.log").read_text()
            time.sleep(0.5)
        yield run
    finally:
        subprocess.run(["scancel", "--user=root", "--signal=KILL"], env=env, check=False)
        until = time.monotonic() + 20  # an srun whose controller is gone stays for ever
        while run("squeue -h") and time.monotonic() < until:
            time.sleep(0.5)
        for process in reversed(started):
            process.terminate()
        until = time.monotonic() + 10
        for process in reversed(started):
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_a_slow_step_is_saved_behind_the_signal_and_the_job_goes_on(
    tmp_path: Path, slurm: Slurm, twin: Path
) -> None:
    made = shell(tmp_path)("qvl tiny data data --train 600 --test 4 --tasks digit,add")
    assert made.returncode == 0, made.stderr
    models = ROOT / "examples" / "models"
    words = (
        "SHORT=256 LONG=512 LAYOUT_SHORT= LAYOUT_LONG=cp=2 BATCH_SHORT=2 BATCH_LONG=2 "
        "MASTER_ADDR=127.0.0.1 MASTER_PORT=29{} ARGS='--steps {} --batch {} --log-every 1 --lr 1e-3'"
    )
    ask = "sbatch --parsable --nodes=2 --ntasks-per-node=1 --gpus-per-node=0 --output=%j.log "
    files = shlex.join([f"{models}/slurm.sh", f"{models}/2b.sh", str(twin)])
    ask += f"{files} out data/raw.jsonl.zst"
    job = slurm(f"{words.format(611, 3, 200)} {ask}")
    log = tmp_path / f"{job}.log"
    wait(lambda: "step 1 of 3" in log.read_text() if log.exists() else False, log)
    slurm(f"scancel --signal=TERM {job}")
    signalled = time.monotonic()
    wait(lambda: not slurm(f"squeue -h -j {job} 2>/dev/null || true"), log)
    took = time.monotonic() - signalled
    rows = [row for row in jsonl.read(str(tmp_path / "out/256/log.jsonl")) if "loss" in row]
    assert "stopped after step 2 of 3; continue with --resume" in log.read_text(), log.read_text()
    assert [path.name for path in (tmp_path / "out/256/checkpoints").glob("step-*")] == [
        "step-0000002"
    ]
    assert rows[-1]["step"] == 2 and took > 3, "the second step was not slow"
    job = slurm(f"{words.format(612, 3, 200)} {ask}")
    log = tmp_path / f"{job}.log"
    wait((tmp_path / "out/256/config.json").exists, log)
    slurm(f"scancel --signal=KILL {job}")
    rows = [row for row in jsonl.read(str(tmp_path / "out/256/log.jsonl")) if "loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]


def wait(done: Callable[[], bool], log: Path, seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, log.read_text() if log.exists() else "it has not begun"
        time.sleep(0.5)
