"""Serve a checkpoint with the local engine, in this process: `qvl serve`."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

import qvl
from qvl import threads as torch_threads
from qvl.engines import probe
from qvl.engines.serving import server
from qvl.errors import need
from qvl.imports import gc_frozen


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    ready: Callable[[dict], None],
    command: Sequence[str] = (),
    ready_file: Path | None = None,
    name: str | None = None,
    dtype: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> int:
    """Serve `folder` until a signal, or as long as `command` runs; returns the exit status.

    `options` are those of qvl.engines.local.service.LocalOptions, `dtype` that of
    qvl.engines.local.checkpoint.Checkpoint, `threads` the number of torch's threads on a CPU, by default
    chosen by qvl.threads. `ready` is called with the facts once the endpoint answers.
    The command has QVL_ENDPOINT in its environment, and {endpoint} in its arguments is replaced.
    SIGINT raises KeyboardInterrupt and SIGTERM Terminated, after everything has stopped.
    """
    key = server.check_access(host, command)
    listener = server.bind(host, port)  # before the slow imports: a used port is reported at once
    with gc_frozen():
        for module in ("aiohttp", "torch", "transformers", "jinja2", "PIL"):
            need(module, extra="serve")
        from qvl.engines.local.app import make_app
        from qvl.engines.local.checkpoint import Checkpoint
        from qvl.engines.local.control import routes
        from qvl.engines.local.service import LocalOptions, Service

    with listener:
        model = name or folder.resolve().name
        with gc_frozen():  # transformers imports the model's code when it loads it
            checkpoint = Checkpoint(folder, dtype)
        chosen = torch_threads.choose(checkpoint.width, threads, checkpoint.step)
        service = Service(checkpoint, LocalOptions(name=model, key=key, **options))
        app = make_app(service)
        facts = {
            "endpoint": server.address(listener),
            "model": model,
            "backend": "local",
            "version": qvl.__version__,
            "weight_version": checkpoint.version,
            "max_model_len": service.max_model_len,
            "threads": chosen,
            "capabilities": probe.capabilities(routes(app)),
            "pid": os.getpid(),
        }

        def announce() -> None:
            if ready_file:
                server.write_ready_file(ready_file, orjson.dumps(facts) + b"\n")
            ready(facts)

        try:
            return asyncio.run(server.run_app(app, listener, announce, command, facts["endpoint"]))
        finally:
            if ready_file:
                ready_file.unlink(missing_ok=True)
