"""What is installed, what is missing, and the command that installs it."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from qvl import sandbox
from qvl.engines.serving import environments
from qvl.errors import UserError

REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?\s*([^;]*?)\s*(?:;\s*(.*))?$")
EXTRA = re.compile(r"extra\s*==\s*[\"']([^\"']+)[\"']")
AT_LEAST = re.compile(r">=\s*([0-9.]+)")
LOWEST_PYTHON = (3, 11)
PROGRAMS = {  # name -> (the executable, what it is for and how it comes)
    "zstd": ("zstd", "to read streams in a shell: apt install zstd"),
}
SANDBOX_CURE = "allow user namespaces, or a container of your own and qvl verify --unsafe-local"
SKIPPED = ("all", "dev")  # extras that name other extras, and what developers need


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    name: str
    found: bool
    detail: str
    cure: str = ""


def examine() -> list[Finding]:
    """All rows of the table. Nothing heavy is imported."""
    return [
        _python(),
        _torch(),
        _package("transformers", "pip install 'qvl[train]'"),
        _package("megatron-core", "pip install 'qvl[train]'"),
        *_extras(),
        *(_engine(name) for name in environments.ENGINES),
        *(_program(name, *words) for name, words in PROGRAMS.items()),
        _sandbox(),
        _gpu(),
    ]


def missing(findings: list[Finding], needed: list[str]) -> list[Finding]:
    """The rows of `needed` that are missing. UserError for an unknown name."""
    rows = {finding.name: finding for finding in findings}
    unknown = [name for name in needed if name not in rows]
    if unknown:
        raise UserError(f"--need {unknown[0]}: expected one of {', '.join(rows)}")
    return [rows[name] for name in dict.fromkeys(needed) if not rows[name].found]


def _python() -> Finding:
    found = sys.version_info >= LOWEST_PYTHON
    version = ".".join(map(str, sys.version_info[:3]))
    lowest = ".".join(map(str, LOWEST_PYTHON))
    return Finding("python", found, version, "" if found else f"use Python {lowest} or newer")


def _torch() -> Finding:
    version = installed("torch")
    if version is None:
        return Finding("torch", False, "not installed", "pip install torch")
    return Finding("torch", True, version)


def _package(name: str, cure: str) -> Finding:
    version = installed(name)
    return Finding(name, True, version) if version else Finding(name, False, "not installed", cure)


def installed(distribution: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> list[Finding]:
    """One row per extra of qvl: whether its packages are installed and new enough."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for line in metadata.requires("qvl") or []:
        match = REQUIREMENT.match(line)
        extra = EXTRA.search(line)
        if match and extra:
            wanted.setdefault(extra[1], []).append((match[1], match[2]))
    rows = []
    for extra, packages in wanted.items():
        if extra in SKIPPED:
            continue
        lacking = [name for name, limits in packages if not _satisfied(name, limits)]
        if lacking:
            cure = f"pip install 'qvl[{extra}]'"
            rows.append(Finding(f"qvl[{extra}]", False, "lacks " + ", ".join(lacking), cure))
        else:
            rows.append(Finding(f"qvl[{extra}]", True, ", ".join(name for name, _ in packages)))
    return rows


def _satisfied(distribution: str, limits: str) -> bool:
    """Whether it is installed and not older than the lower limit; pip enforces the other limits."""
    version = installed(distribution)
    if version is None:
        return False
    lowest = AT_LEAST.search(limits)
    return lowest is None or _numbers(version) >= _numbers(lowest[1])


def _numbers(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def _engine(name: str) -> Finding:
    try:
        found = environments.find(name)
    except UserError:
        device = "cuda" if environments.gpus() else "cpu"
        return Finding(name, False, "not installed", environments.install_command(name, device))
    place = str(found.python.parent.parent)
    if found.num_bytes:
        place += f", {found.num_bytes / 1e9:.1f} GB"
    return Finding(name, True, f"{found.version} for {found.device} in {place}")


def _program(name: str, executable: str, cure: str) -> Finding:
    path = shutil.which(executable)
    if path is None:
        return Finding(name, False, f"no {executable} on PATH", cure)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"[0-9]+(\.[0-9]+)+", done.stdout + done.stderr)
    return Finding(name, True, f"{number[0]} at {path}" if number else path)


def _sandbox() -> Finding:
    """Whether model-written code can be isolated here: tried, not looked up."""
    row = _program("bubblewrap", "bwrap", "to run model-written code: apt install bubblewrap")
    found = sandbox.probe()
    if row.found and not found.isolated:
        return Finding(row.name, False, f"cannot isolate here: {found.reason}", SANDBOX_CURE)
    return row


def _gpu() -> Finding:
    names = environments.gpus()
    if not names:
        return Finding(
            "gpu", False, "none; the twin runs on the CPU", "an NVIDIA GPU and its driver"
        )
    kinds = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return Finding("gpu", True, ", ".join(kinds))
