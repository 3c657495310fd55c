import sys
from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from qvl.engines import doctor, probe
from qvl.engines.serving import environments
from qvl.errors import CheckFailed, UserError


def command(
    install: Annotated[
        list[str] | None,
        typer.Option(metavar="vllm|sglang", help="Make this engine's own environment; repeatable"),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Install for the CPU")] = False,
    cuda: Annotated[bool, typer.Option("--cuda", help="Install for NVIDIA GPUs")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of --install, run none")
    ] = False,
    need: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Status 3 if this row is missing; repeatable"),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Ask this server what it is and can do; repeatable"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not a table")] = False,
) -> None:
    """Say what is installed, found and missing, and the command that mends it.

    vLLM and SGLang cannot share an environment, with each other or with qvl: --install makes one
    for each, for this machine's GPUs or the CPU, from versions that are pinned in the package.
    It may be interrupted and run again. It lands in $XDG_DATA_HOME/qvl/engines, which is
    ~/.local/share/qvl/engines, or in $QVL_ENGINES. An engine that is on PATH is used where none was
    installed so. A CPU build of torch must be in pip's indexes; PIP_EXTRA_INDEX_URL adds one.

    \b
    Examples:
        $ qvl doctor
        $ qvl doctor --need python --need zstd --json
        $ qvl doctor --install vllm --cpu --dry-run
    """
    if cpu and cuda:
        raise UserError("--cpu and --cuda: one of them")
    if (cpu or cuda or dry_run) and not install:
        raise UserError("--cpu, --cuda and --dry-run go with --install")
    for engine in install or []:
        if engine not in environments.ENGINES:
            raise UserError(f"--install {engine}: there are {', '.join(environments.ENGINES)}")
    device = "cpu" if cpu or (not cuda and not environments.gpus()) else "cuda"
    for engine in install or []:
        if dry_run:
            print(*environments.shell_lines(environments.steps(engine, device)), sep="\n")
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
    def say(words: str) -> None:
        print(f"qvl doctor: {words}", file=sys.stderr, flush=True)

    made, seconds = environments.install(engine, device, say)
    took = "was there already" if seconds is None else f"{seconds:.0f} s"
    place = made.python.parent.parent
    say(
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
