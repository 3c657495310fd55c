"""Serve with an engine that is a process of its own: started, watched, and taken down whole."""

import asyncio
import contextlib
import os
import re
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
from qvl.engines.serving.launch import Launch, Options
from qvl.errors import EndpointError, Terminated, UserError

POLL_SECONDS = 0.25
LAST_WORDS_SECONDS = 0.5  # between an engine's end and that of its log
HEALTH_SECONDS = 30.0  # SGLang's answer holds a token that it generates
TAIL_CHUNKS = 64  # of the log, kept to tell why an engine died
CAUSES = (  # what an engine's log says -> what is said; \1 is the first group
    (
        r"address already in use|[Pp]ort \d+ (?:is|was) (?:already )?(?:in use|not available)",
        "the port is in use; --port 0 picks a free one",
    ),
    (
        r"Unsupported CPU attention configuration: head_dim=(\d+)",
        r"it has no attention for head size \1 on a CPU; sizes 32, 64, 96 and 128 are safe",
    ),
    (r"unrecognized arguments: (.*)", r"it does not know \1"),
    (r"error: (argument .*)", r"\1"),
    (
        r"CUDA out of memory|OutOfMemoryError|[Oo]ut of memory|Cannot allocate memory"
        r"|No available memory for the cache blocks|Not enough memory|less than desired GPU memory",
        "out of memory; fewer --max-batch or --max-model-len tokens need less",
    ),
    (
        r"(The size of tensor .* must match .*|size mismatch for .*)",
        r"the weights do not have the sizes of config.json: \1",
    ),
    (r"No processor registered for architecture: (.*)", r"it cannot import its processor for \1"),
)
EXCEPTION = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception|NotFound)): (.+)$", re.MULTILINE)
NOISE = ("KeyboardInterrupt", "Engine core initialization failed", "Engine core proc", "EngineDead")


def serve(
    backend: str,
    model: Path,
    options: Options,
    *,
    ready: Callable[[dict], None],
    command: Sequence[str] = (),
    ready_file: Path | None = None,
    engine: Path | None = None,
) -> int:
    """Serve `model` with vLLM or SGLang, as serving.serve_local does with the local engine.

    `engine` names the environment to use. EndpointError, status 4, where the engine dies.
    """
    key = server.check_access(options.host, command)
    environment = environments.find(backend, engine)
    with server.bind(options.host, options.port) as listener:
        endpoint = server.address(listener)
        options = replace(options, port=int(listener.getsockname()[1]), key=key)
    # The port is free again: the engine cannot be handed the socket, and binds it at once.
    start = import_module(f"qvl.engines.{backend}.launch").start
    plan: Launch = start(environment, model.resolve(), options)
    facts = {
        "endpoint": endpoint,
        "model": options.name,
        "backend": backend,
        "version": environment.version,
        "device": environment.device,
    }
    try:
        return asyncio.run(_Engine(plan, facts, ready, ready_file, command, key).serve())
    finally:
        if ready_file:
            ready_file.unlink(missing_ok=True)


class _Engine:
    """One engine's life."""

    def __init__(
        self,
        plan: Launch,
        facts: dict[str, Any],
        ready: Callable[[dict], None],
        ready_file: Path | None,
        command: Sequence[str],
        key: str | None,
    ) -> None:
        self.plan, self.facts, self.ready, self.ready_file = plan, facts, ready, ready_file
        self.command, self.key = command, key
        self.tail: deque[bytes] = deque(maxlen=TAIL_CHUNKS)
        self.told: int | None = None  # the signal that stopped us

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[int] = loop.create_future()
        for number in server.SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            # Not asyncio's: its wait() goes on while a child of a dead engine holds the pipe.
            self.process = subprocess.Popen(
                self.plan.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.plan.variables,
                start_new_session=True,  # its process group: all that it starts
            )
        except OSError as error:
            raise UserError(f"{self.plan.command[0]}: {error.strerror}") from None
        log = threading.Thread(target=self._log, daemon=True)
        log.start()
        self.death = loop.run_in_executor(None, self.process.wait)
        self.death.add_done_callback(lambda _: server.settle(self.stopped, signal.SIGTERM))
        try:
            if not await self._becomes_ready():
                await self._raise()
            await asyncio.to_thread(self._announce)
            if self.command:
                return await self._run_command()
            await self.stopped
            return await self._raise()
        finally:
            await self._stop()
            await asyncio.to_thread(log.join, LAST_WORDS_SECONDS)

    def _signalled(self, number: int) -> None:
        self.told = self.told or number
        server.settle(self.stopped, number)

    async def _becomes_ready(self) -> bool:
        """Whether it answers, before it dies or we are told to stop."""
        while not self.stopped.done():
            if await asyncio.to_thread(self._healthy):
                return True
            await asyncio.wait((self.stopped,), timeout=POLL_SECONDS)
        return False

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.facts["endpoint"] + "/health", timeout=HEALTH_SECONDS):
                return True
        except (OSError, ValueError):  # refused, 503 until it is ready, too slow
            return False

    def _announce(self) -> None:
        said = probe(self.facts["endpoint"], key=self.key)
        self.facts |= {
            "weight_version": said["weight_version"],
            "max_model_len": said["max_model_len"],
            "capabilities": said["capabilities"],
            "pid": os.getpid(),
            "engine_pid": self.process.pid,
        }
        if self.ready_file:
            server.write_ready_file(self.ready_file, orjson.dumps(self.facts) + b"\n")
        self.ready(self.facts)

    async def _run_command(self) -> int:
        try:
            return await server.run_command(self.command, self.facts["endpoint"], self.stopped)
        except Terminated:  # perhaps because the engine died: then that is what is told
            return await self._raise()

    async def _raise(self) -> int:
        """Say why we are here: told to stop, or the engine died."""
        if self.told is not None:
            server.raise_for(self.told)
        status = await self.death
        await asyncio.sleep(LAST_WORDS_SECONDS)
        why = diagnose(b"".join(self.tail).decode("utf-8", "replace"), status)
        raise EndpointError(f"{self.facts['backend']} died: {why}")

    def _log(self) -> None:
        """Pass the engine's words on to standard error, until all that could speak is gone."""
        assert self.process.stdout
        with self.process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), 1 << 16):
                self.tail.append(chunk)
                with contextlib.suppress(BrokenPipeError):  # nobody reads: the engine lives on
                    os.write(2, chunk)

    async def _stop(self) -> None:
        """The engine and all that it started are gone when this returns."""
        if not self.death.done():
            self.process.terminate()
            await asyncio.wait((self.death,), timeout=self.plan.grace_seconds)
        with contextlib.suppress(ProcessLookupError):  # nobody is left in the group
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.death


def diagnose(log: str, status: int) -> str:
    """Why an engine died, in one line, from the end of its log and its exit status."""
    for pattern, words in CAUSES:
        match = re.search(pattern, log, re.IGNORECASE)
        if match:
            return match.expand(words)
    if status == -signal.SIGKILL:
        return "it was killed, as a machine that is out of memory does"
    errors = [f"{kind.rpartition('.')[2]}: {said.strip()}" for kind, said in EXCEPTION.findall(log)]
    telling = [error for error in errors if not any(noise in error for noise in NOISE)]
    if telling:
        return telling[-1]
    if status < 0:
        return f"signal {-status}"
    last = log.strip().splitlines()
    return f"status {status}: {last[-1].strip()}" if last else f"status {status}"
