"""Serve with vLLM or SGLang: the engine's process is started, watched, and stopped with its children."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from qvl.engines.probe import probe
from qvl.engines.serving import environments, server
from qvl.engines.serving.diagnosis import diagnose
from qvl.engines.serving.launch import Launch, LaunchOptions
from qvl.errors import EndpointError, Terminated, UserError

POLL_SECONDS = 0.25
LAST_LOG_SECONDS = 0.5  # between the end of a process and the end of its log
HEALTH_SECONDS = 30.0  # SGLang generates a token for each health check
TAIL_CHUNKS = 64  # of the log, kept to find out why an engine ended


def serve(
    backend: str,
    model: Path,
    options: LaunchOptions,
    *,
    ready: Callable[[dict], None],
    command: Sequence[str] = (),
    ready_file: Path | None = None,
    engine: Path | None = None,
) -> int:
    """Serve `model` with vLLM or SGLang; arguments and result as in qvl.engines.local.serve.

    engine: the environment to use, see environments.find. EndpointError, status 4, if the engine dies.
    """
    key = server.check_access(options.host, command)
    environment = environments.find(backend, engine)
    # An engine cannot take over the socket. While ours is bound, but does not listen, no other process
    # is given its port, and the engine may bind it as well: both sockets have SO_REUSEADDR. Started on a
    # busy machine, an engine binds a minute later.
    with server.bind(options.host, options.port) as listener:
        options = replace(options, port=int(listener.getsockname()[1]), key=key)
        start = import_module(f"qvl.engines.{backend}.launch").start
        launch: Launch = start(environment, model.resolve(), options)
        facts = {
            "endpoint": server.address(listener),
            "model": options.name,
            "backend": backend,
            "version": environment.version,
            "device": environment.device,
        }
        try:
            process = _EngineProcess(launch, facts, ready, ready_file, command, key)
            return asyncio.run(process.serve())
        finally:
            if ready_file:
                ready_file.unlink(missing_ok=True)


class _EngineProcess:
    """The process of one engine, from its start to its end."""

    def __init__(
        self,
        launch: Launch,
        facts: dict[str, Any],
        ready: Callable[[dict], None],
        ready_file: Path | None,
        command: Sequence[str],
        key: str | None,
    ) -> None:
        self.launch, self.facts, self.ready, self.ready_file = launch, facts, ready, ready_file
        self.command, self.key = command, key
        self.tail: deque[bytes] = deque(maxlen=TAIL_CHUNKS)
        self.received: int | None = None  # the signal that stopped us

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[int] = loop.create_future()
        for number in server.SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            # Not asyncio's: its wait() does not return while a child of a dead engine holds the pipe.
            self.process = subprocess.Popen(
                self.launch.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.launch.variables,
                start_new_session=True,  # a process group of all that it starts
            )
        except OSError as error:
            raise UserError(f"{self.launch.command[0]}: {error.strerror}") from None
        log = threading.Thread(target=self._forward_log, daemon=True)
        log.start()
        self.ended = loop.run_in_executor(None, self.process.wait)
        self.ended.add_done_callback(lambda _: server.settle(self.stopped, signal.SIGTERM))
        try:
            if not await self._becomes_ready():
                await self._raise_reason()
            await asyncio.to_thread(self._announce)
            if self.command:
                return await self._run_command()
            await self.stopped
            return await self._raise_reason()
        finally:
            await self._stop()
            await asyncio.to_thread(log.join, LAST_LOG_SECONDS)

    def _signalled(self, number: int) -> None:
        self.received = self.received or number
        server.settle(self.stopped, number)

    async def _becomes_ready(self) -> bool:
        """Whether it answers before it ends or a signal arrives."""
        while not self.stopped.done():
            if await asyncio.to_thread(self._is_healthy):
                return True
            await asyncio.wait((self.stopped,), timeout=POLL_SECONDS)
        return False

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.facts["endpoint"] + "/health", timeout=HEALTH_SECONDS):
                return True
        except (OSError, ValueError):  # refused, 503 until it is ready, or too slow
            return False

    def _announce(self) -> None:
        found = probe(self.facts["endpoint"], key=self.key)
        self.facts |= {
            "weight_version": found["weight_version"],
            "max_model_len": found["max_model_len"],
            "capabilities": found["capabilities"],
            "pid": os.getpid(),
            "engine_pid": self.process.pid,
        }
        if self.ready_file:
            server.write_ready_file(self.ready_file, orjson.dumps(self.facts) + b"\n")
        self.ready(self.facts)

    async def _run_command(self) -> int:
        try:
            return await server.run_command(self.command, self.facts["endpoint"], self.stopped)
        except Terminated:  # perhaps because the engine ended: then that is the error
            return await self._raise_reason()

    async def _raise_reason(self) -> int:
        """Raise why we stop: a signal, or the engine's end."""
        if self.received is not None:
            server.raise_for_signal(self.received)
        status = await self.ended
        await asyncio.sleep(LAST_LOG_SECONDS)
        reason = diagnose(b"".join(self.tail).decode("utf-8", "replace"), status)
        raise EndpointError(f"{self.facts['backend']} died: {reason}")

    def _forward_log(self) -> None:
        """Copy the engine's log to standard error, until every process that writes it has ended."""
        assert self.process.stdout
        with self.process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), 1 << 16):
                self.tail.append(chunk)
                with contextlib.suppress(BrokenPipeError):  # nobody reads; the engine goes on
                    os.write(2, chunk)

    async def _stop(self) -> None:
        """Stop the engine and all that it started; none is left when this returns."""
        if not self.ended.done():
            self.process.terminate()
            await asyncio.wait((self.ended,), timeout=self.launch.grace_seconds)
        with contextlib.suppress(ProcessLookupError):  # the group is empty
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.ended
