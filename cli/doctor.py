import sys
from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from qvl.engines import doctor, probe
from qvl.engines.serving import environments
from qvl.engines.serving import install as installing
from qvl.errors import CheckFailed, UserError


def command(
    install: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(environments.ENGINES),
            help="Install this engine in an environment of its own; repeatable",
        ),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Install for the CPU")] = False,
    cuda: Annotated[bool, typer.Option("--cuda", help="Install for NVIDIA GPUs")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of --install without running them")
    ] = False,
    need: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Exit with status 3 if this is missing; repeatable"),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Print what this server is and can do; repeatable"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table")
    ] = False,
) -> None:
    """Report what is installed and what is missing, and how to install it.

    vLLM and SGLang cannot share an environment with each other or with qvl. --install makes one for each,
    for the GPUs of this machine or for the CPU, from versions pinned in the package. It can be
    interrupted and run again. Environments are in $QVL_ENGINES, by default $XDG_DATA_HOME/qvl/engines,
    which is ~/.local/share/qvl/engines. An engine on PATH is used where none was installed this way. A
    CPU build of torch must be in pip's indexes; PIP_EXTRA_INDEX_URL adds one.

    Examples:
        $ qvl doctor
        $ qvl doctor --need python --need zstd --json
        $ qvl doctor --install vllm --cpu --dry-run
    """
    if cpu and cuda:
        raise UserError("--cpu and --cuda exclude each other")
    if (cpu or cuda or dry_run) and not install:
        raise UserError("--cpu, --cuda and --dry-run need --install")
    for engine in install or []:
        if engine not in environments.ENGINES:
            raise UserError(
                f"--install {engine}: expected one of {', '.join(environments.ENGINES)}"
            )
    device = "cpu" if cpu or (not cuda and not environments.gpus()) else "cuda"
    for engine in install or []:
        if dry_run:
            print(*installing.shell_lines(installing.steps(engine, device)), sep="\n")
        else:
            _install(engine, device)
    if install and not (need or endpoint or as_json):
        return
    findings = doctor.examine()
    lacking = doctor.missing(findings, need or [])
    servers = [probe.probe(url) for url in endpoint or []]
    if as_json:
        report = {"findings": [asdict(each) for each in findings], "servers": servers}
        print(orjson.dumps(report).decode())
    else:
        print(*_table(findings), sep="\n")
        for server in servers:
            print(*(f"{name}: {value}" for name, value in server.items()), sep="\n")
    if lacking:
        cures = "; ".join(f"{each.name} is missing: {each.cure}" for each in lacking)
        raise CheckFailed(cures)


def _install(engine: str, device: str) -> None:
    def report(line: str) -> None:
        print(f"qvl doctor: {line}", file=sys.stderr, flush=True)

    made, seconds = installing.install(engine, device, report)
    took = "already installed" if seconds is None else f"{seconds:.0f} s"
    place = made.python.parent.parent
    report(
        f"{engine} {made.version} for {device}: {place}, {(made.num_bytes or 0) / 1e9:.1f} GB, {took}"
    )


def _table(findings: list[doctor.Finding]) -> list[str]:
    width = max(len(each.name) for each in findings)
    lines = []
    for each in findings:
        mark = "found  " if each.found else "missing"
        cure = f" -> {each.cure}" if each.cure else ""
        lines.append(f"{each.name:{width}}  {mark}  {each.detail}{cure}")
    return lines
