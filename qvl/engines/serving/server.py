"""Serve an application until a signal, or as long as a command runs: addresses, keys, ready files."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from qvl.errors import Terminated, UserError
from qvl.io import atomic

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 10.0  # between SIGTERM and SIGKILL of the command
INTERRUPT_SECONDS = 2.0  # for a command to end by a terminal's Ctrl-C, which it gets too
SHUTDOWN_SECONDS = 5.0  # for connections to close once the engine has stopped
PLACEHOLDER = "{endpoint}"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_access(host: str, command: Sequence[str]) -> str | None:
    """The server's key. UserError if other machines could use the server without one."""
    if command and shutil.which(command[0]) is None:
        raise UserError(f"{command[0]}: command not found")
    key = os.environ.get("QVL_API_KEY") or None
    if host not in LOOPBACK and key is None:
        raise UserError(f"--host {host}: other machines can reach it; set QVL_API_KEY to a key")
    return key


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. UserError if the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise _bind_error(host, port, error) from None
    return listener


def _bind_error(host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"{host}:{port}: {reason}; --port 0 picks a free port")


def address(listener: socket.socket) -> str:
    """The URL of a bound socket, as this machine reaches it."""
    host, port = _host_and_port(listener)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host) or host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _host_and_port(listener: socket.socket) -> tuple[str, int]:
    host, port, *_ = listener.getsockname()
    return str(host), int(port)


def write_ready_file(path: Path, content: bytes) -> None:
    """Write the file whole or not at all. UserError if it cannot be written."""
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
    """Serve `app` until a signal, or as long as `command` runs; returns the exit status.

    announce: called once the server listens. prepare: awaited before that, with the future of the signal.
    """
    from aiohttp import web

    from qvl.engines.serving import http

    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, settle, stopped, number)
    runner = http.runner(app, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        if prepare:
            await prepare(stopped)
        try:
            await web.SockSite(runner, listener).start()
        except OSError as error:
            raise _bind_error(*_host_and_port(listener), error) from None
        announce()
        if command:
            return await run_command(command, endpoint, stopped)
        raise_for_signal(await stopped)
    finally:
        await runner.cleanup()
    return 0


async def run_command(command: Sequence[str], endpoint: str, stopped: "asyncio.Future[int]") -> int:
    """Run a command; returns its exit status, 128 + N if signal N ended it, as a shell reports it."""
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
            # A terminal's Ctrl-C reached the child too; a second one would interrupt its clean-up.
            await asyncio.wait((ending,), timeout=INTERRUPT_SECONDS)
        if not ending.done():
            child.send_signal(stopped.result())
        done, _ = await asyncio.wait((ending,), timeout=GRACE_SECONDS)
        if not done:
            child.kill()
        await ending
        raise_for_signal(stopped.result())
    status = ending.result()
    return status if status >= 0 else 128 - status


def settle(stopped: "asyncio.Future[int]", number: int) -> None:
    """Set the signal that stops a server, unless one is set."""
    if not stopped.done():
        stopped.set_result(number)


def raise_for_signal(number: int) -> None:
    """KeyboardInterrupt for SIGINT, Terminated for SIGTERM."""
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
