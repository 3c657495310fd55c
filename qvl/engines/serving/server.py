"""Serve a checkpoint until told to stop, or for as long as one command runs."""

import asyncio
import hmac
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

import qvl
from qvl.errors import Terminated, UserError, need
from qvl.imports import gc_frozen
from qvl.io import atomic

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 10.0  # between SIGTERM and SIGKILL of the command
OWN_INTERRUPT_SECONDS = 2.0
SHUTDOWN_SECONDS = 5.0  # for connections to close once the engine has stopped
PLACEHOLDER = "{endpoint}"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_local(
    folder: Path,
    *,
    host: str,
    port: int,
    ready: Callable[[dict], None],
    command: Sequence[str] = (),
    ready_file: Path | None = None,
    name: str | None = None,
    dtype: str = "auto",
    **options: Any,
) -> int:
    """Serve `folder` with the local engine; `options` are those of qvl.engines.local.http.Options,
    `dtype` that of qvl.engines.local.checkpoint.Checkpoint.

    `ready` is told of the endpoint once it answers. With a `command` the server lives as long as
    it, and its exit status is returned; QVL_ENDPOINT is in its environment and {endpoint} in its
    arguments is replaced. SIGINT raises KeyboardInterrupt and SIGTERM Terminated, after all is down.
    """
    key = check_access(host, command)
    listener = bind(host, port)  # before the long imports: a port that is taken is told at once
    with gc_frozen():
        for module in ("aiohttp", "torch", "transformers", "jinja2", "PIL"):
            need(module, extra="serve")
        from qvl.engines.local.checkpoint import Checkpoint
        from qvl.engines.local.control import routes
        from qvl.engines.local.http import Options, Server
        from qvl.engines.probe import capabilities

    with listener:
        served = name or folder.resolve().name
        with gc_frozen():  # transformers imports the model's code as it loads it
            checkpoint = Checkpoint(folder, dtype)
        server = Server(checkpoint, Options(name=served, key=key, **options))
        app = server.app()
        facts = {
            "endpoint": address(listener),
            "model": served,
            "backend": "local",
            "version": qvl.__version__,
            "weight_version": server.checkpoint.version,
            "max_model_len": server.max_model_len,
            "capabilities": capabilities(routes(app)),
            "pid": os.getpid(),
        }

        def announce() -> None:
            if ready_file:
                write_ready_file(ready_file, orjson.dumps(facts) + b"\n")
            ready(facts)

        try:
            return asyncio.run(run_app(app, listener, announce, command, facts["endpoint"]))
        finally:
            if ready_file:
                ready_file.unlink(missing_ok=True)


def holds_key(authorization: str, key: str | None) -> bool:
    """Whether a request's Authorization holds the key that guards the server, if any does."""
    return key is None or hmac.compare_digest(authorization.encode(), f"Bearer {key}".encode())


def error_body(message: str, kind: str) -> dict:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def check_access(host: str, command: Sequence[str]) -> str | None:
    """The key that guards the server; UserError where others could ask it without one."""
    if command and shutil.which(command[0]) is None:
        raise UserError(f"{command[0]}: no such command")
    key = os.environ.get("QVL_API_KEY") or None
    if host not in LOOPBACK and key is None:
        raise UserError(f"--host {host}: others can reach it; set QVL_API_KEY to guard it")
    return key


def bind(host: str, port: int) -> socket.socket:
    """A socket that nobody can connect to yet; UserError where the address is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise _taken(host, port, error) from None
    return listener


def _taken(host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"{host}:{port}: {reason}; --port 0 picks a free one")


def address(listener: socket.socket) -> str:
    host, port = _where(listener)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host) or host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _where(listener: socket.socket) -> tuple[str, int]:
    host, port, *_ = listener.getsockname()
    return str(host), int(port)


def write_ready_file(path: Path, content: bytes) -> None:
    """A reader that waits for the file never sees half of it."""
    try:
        atomic.write(path, content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


async def run_app(
    app: Any,
    listener: socket.socket,
    announce: Callable[[], None],
    command: Sequence[str],
    endpoint: str,
    prepare: "Callable[[asyncio.Future[int]], Awaitable[None]] | None" = None,
) -> int:
    """Serve `app` until a signal, or for as long as `command` runs.

    prepare: awaited before anybody can connect; its argument is the signal to come.
    """
    from aiohttp import web

    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, settle, stopped, number)
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        if prepare:
            await prepare(stopped)
        try:
            await web.SockSite(runner, listener).start()
        except OSError as error:
            raise _taken(*_where(listener), error) from None
        announce()
        if command:
            return await run_command(command, endpoint, stopped)
        raise_for(await stopped)
    finally:
        await runner.cleanup()
    return 0


async def run_command(command: Sequence[str], endpoint: str, stopped: "asyncio.Future[int]") -> int:
    """The command's exit status, 128 + N where signal N ended it, as a shell reports it."""
    words = [word.replace(PLACEHOLDER, endpoint) for word in command]
    try:
        child = await asyncio.create_subprocess_exec(
            *words, env={**os.environ, "QVL_ENDPOINT": endpoint}
        )
    except OSError as error:
        raise UserError(f"{words[0]}: {error.strerror}") from None
    ending = asyncio.ensure_future(child.wait())
    await asyncio.wait((ending, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        if stopped.result() == signal.SIGINT:
            # A terminal's Ctrl-C has reached the child as well; a second would cut its clean-up.
            await asyncio.wait((ending,), timeout=OWN_INTERRUPT_SECONDS)
        if not ending.done():
            child.send_signal(stopped.result())
        done, _ = await asyncio.wait((ending,), timeout=GRACE_SECONDS)
        if not done:
            child.kill()
        await ending
        raise_for(stopped.result())
    status = ending.result()
    return status if status >= 0 else 128 - status


def settle(stopped: "asyncio.Future[int]", number: int) -> None:
    if not stopped.done():
        stopped.set_result(number)


def raise_for(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
