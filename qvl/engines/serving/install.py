"""Making the virtual environment of an engine: `qvl doctor --install`.

python -m venv and pip, from requirements that pin every package. pip, not uv: only pip reads pip's own
configuration (indexes, mirrors, wheel folders, certificates), where a CPU build of torch is found on many
machines. With uv where it is installed and pip elsewhere there would be two installers to test. uv would
download faster, in an install of minutes that is run once, and would not make this file shorter: the pins,
the stamp, the lock and the check at the end stay.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from qvl.engines.serving import environments
from qvl.engines.serving.environments import INJECT, STAMP, Environment
from qvl.errors import EndpointError, UserError
from qvl.io import atomic

GIGABYTES = {"cpu": 4, "cuda": 16}  # of the environment and pip's downloads; measured for cpu
NO_CPU_TORCH = (
    "pip finds no CPU build of {torch}; name PyTorch's index of CPU builds in PIP_EXTRA_INDEX_URL"
)


def requirements(engine: str, device: str) -> Path:
    """The file of pinned requirements."""
    return INJECT.parent / engine / f"requirements-{device}.txt"


def pins(path: Path) -> dict[str, str]:
    """Name -> requirement, of a file with one pinned requirement per line."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {line.partition("==")[0]: line for line in lines if line}


def steps(engine: str, device: str) -> list[list[str]]:
    """The commands that make an environment, in order."""
    folder = environments.root() / f"{engine}-{device}"
    python = str(folder / "bin" / "python")
    path = requirements(engine, device)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not sys.stderr.isatty():
        pip += ["--quiet", "--quiet"]  # only errors
    commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
    if device == "cpu":  # torch first: an index may lack its CPU build
        commands.append([*pip, "--no-deps", pins(path)["torch"]])
        commands.append([*pip, "--no-deps", "-r", str(path)])
    else:
        commands.append([*pip, "-r", str(path)])
    return [*commands, [python, "-c", "; ".join(_check(engine))]]


def _check(engine: str) -> list[str]:
    """Statements that fail if the packages of the environment do not fit together."""
    if engine == "vllm":
        return ["import torch, torchvision, vllm", "from transformers import Qwen3VLProcessor"]
    return ["import av, torch, torchvision, sglang", "from transformers import Qwen3VLProcessor"]


def shell_lines(commands: Sequence[Sequence[str]]) -> list[str]:
    """The output of --dry-run; the last command needs qvl's own folder on the path."""
    lines = [shlex.join(command) for command in commands]
    return [*lines[:-1], f"PYTHONPATH={shlex.quote(str(INJECT))} {lines[-1]}"]


def install(
    engine: str, device: str, report: Callable[[str], None]
) -> tuple[Environment, float | None]:
    """Make an environment; returns it with the seconds that took, None if it was there already.

    A venv cannot be moved, so it is made in its place and stamped at the end. An interrupted install has
    no stamp and is repeated by the next; pip keeps the downloads. A second install at the same time
    waits. EndpointError if pip fails, UserError if the disk is full.
    """
    path = requirements(engine, device)
    folder = environments.root() / f"{engine}-{device}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        environments.root().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{environments.root()}: {error.strerror}; set QVL_ENGINES to another folder"
        ) from None
    with _lock(environments.root() / f"{engine}-{device}.lock", report) as lock:
        ready = environments.read(engine, device)
        if ready and orjson.loads((folder / STAMP).read_bytes())["requirements"] == digest:
            return ready, None
        _check_room(device)
        (folder / STAMP).unlink(missing_ok=True)
        started = time.monotonic()
        for command in steps(engine, device):
            report(shlex.join(command))
            _run(command, device, lock)
        seconds = time.monotonic() - started
        version = _read_version(engine, folder / "bin" / "python")
        stamp = {
            "engine": engine,
            "device": device,
            "version": version,
            "requirements": digest,
            "seconds": round(seconds, 1),
            "num_bytes": size(folder),
        }
        atomic.write(folder / STAMP, orjson.dumps(stamp) + b"\n")
        made = environments.read(engine, device)
        assert made is not None
        return made, seconds


def _read_version(engine: str, python: Path) -> str:
    found = environments.inspect(engine, python, "qvl")
    if found is None:
        raise EndpointError(f"{python}: {engine} was not found after its installation")
    return found.version


def _check_room(device: str) -> None:
    free = shutil.disk_usage(environments.root()).free
    needed = GIGABYTES[device] << 30
    if free < needed:
        raise UserError(
            f"{environments.root()}: {free / 2**30:.1f} GB free, about {GIGABYTES[device]} GB needed; "
            "set QVL_ENGINES to another folder"
        )


def _run(command: Sequence[str], device: str, lock: int) -> None:
    """Run one step, its output on standard error.

    After kill -9 of this process pip goes on, so it holds the lock too.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    if "-c" in command:
        environment["PYTHONPATH"] = str(INJECT)
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=environment,
        pass_fds=(lock,),
        check=False,
    )
    if done.returncode == 0:
        return
    if device == "cpu" and command[-1].startswith("torch=="):
        raise EndpointError(NO_CPU_TORCH.format(torch=command[-1]))
    if "venv" in command:
        raise EndpointError("python -m venv failed; on Debian and Ubuntu: apt install python3-venv")
    raise EndpointError(f"failed with status {done.returncode}: {shlex.join(command)}")


@contextmanager
def _lock(path: Path, report: Callable[[str], None]) -> Iterator[int]:
    """Wait until no other install of this environment runs; yields the locked file descriptor."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another install of this environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def size(folder: Path) -> int:
    """The bytes on disk below `folder`; each file counts once, links are not followed."""
    seen: dict[tuple[int, int], int] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            status = (Path(directory) / name).lstat()
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
