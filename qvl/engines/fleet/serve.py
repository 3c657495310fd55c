"""Serve several replicas behind one endpoint: `qvl serve --replicas N`."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from qvl.engines.serving import environments, server
from qvl.errors import Terminated, UserError, need


def serve(
    command: Sequence[str],
    folder: Path,
    count: int,
    *,
    host: str,
    port: int,
    ready: Callable[[dict], None],
    report: Callable[[str], None],
    served: Sequence[str] = (),
    ready_file: Path | None = None,
) -> int:
    """Serve `count` replicas of `command`, a `qvl serve` without an address, until a signal.

    folder: the checkpoint that `command` names. report: called with a line when a replica ends and is
    restarted. served: the command to serve, and the other options, as in qvl.engines.local.serve.
    The ready file follows the replicas' pids and weights. EndpointError, status 4, if all of them keep
    failing; if a first start fails, its error and status are the replica's own.
    """
    key = server.check_access(host, served)
    listener = server.bind(host, port)
    need("aiohttp", extra="client")
    from qvl.engines.fleet.fleet import Fleet
    from qvl.engines.fleet.router import Router

    with listener, tempfile.TemporaryDirectory(prefix="qvl-") as ready_files:
        endpoint = server.address(listener)

        def facts() -> dict[str, Any]:
            return {**fleet.facts(), "endpoint": endpoint, "pid": os.getpid()}

        def write_ready_file() -> None:
            if ready_file:
                server.write_ready_file(ready_file, orjson.dumps(facts()) + b"\n")

        def announce() -> None:
            write_ready_file()
            ready(facts())

        variables = split_devices(count)
        fleet = Fleet(command, folder, variables, Path(ready_files), report, write_ready_file)
        app = Router(fleet, key).app()
        try:
            return asyncio.run(
                server.run_app(app, listener, announce, served, endpoint, fleet.start)
            )
        except Terminated:
            if fleet.failure:  # the signal was our own
                raise fleet.failure from None
            raise
        finally:
            if ready_file:
                ready_file.unlink(missing_ok=True)


def split_devices(count: int) -> list[dict[str, str]]:
    """The variables that give each replica its share of the GPUs, or of the cores if there are none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        devices = [str(i) for i in range(len(environments.gpus()))]
    else:
        devices = [device.strip() for device in visible.split(",") if device.strip()]
    if not devices:
        threads = str(max(1, (os.cpu_count() or 1) // count))
        return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}] * count
    each = len(devices) // count
    if not each:
        raise UserError(
            f"--replicas {count}: found {len(devices)} GPUs; "
            "set CUDA_VISIBLE_DEVICES= to serve on the CPU"
        )
    parts = [devices[i * each : (i + 1) * each] for i in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(part)} for part in parts]
