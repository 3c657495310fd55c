"""Several engines behind one endpoint: each a `qvl serve` of its own on loopback, kept alive.

A replica that ends is started again, later each time while it keeps failing; what it was asked is
asked of another (see qvl.engines.fleet.router). One that runs and answers nothing any more is killed first.
Before it is asked anything, it gets the weights that the others have (see qvl.engines.fleet.control).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import orjson

from qvl.engines.fleet.control import Orders
from qvl.engines.serving import environments, server
from qvl.errors import EndpointError, Terminated, UserError, need
from qvl.processes import end_with_parent

POLL_SECONDS = 0.05
FIRST_BACKOFF_SECONDS = 1.0  # before a replica is started again: our choice
MAX_BACKOFF_SECONDS = 60.0
STEADY_SECONDS = 10.0  # a replica that was up so long may fail anew from the first back-off
GIVE_UP = 5  # starts in a row that came to nothing, of every replica
GRACE_SECONDS = 20.0  # between SIGTERM and SIGKILL: vLLM's own 10, and its start
HEALTH_SECONDS = 10.0  # between two looks at whether a replica answers: our choice
WEDGED_SECONDS = 60.0  # without an answer to GET /health until it is given up: our choice
LAST_WORDS_SECONDS = 0.5
PREFIX = "qvl: error: "
OWN = ("pause", "replicas")  # capabilities of the whole, whatever the engines have


def serve(
    command: Sequence[str],
    folder: Path,
    count: int,
    *,
    host: str,
    port: int,
    ready: Callable[[dict], None],
    tell: Callable[[str], None],
    served: Sequence[str] = (),
    ready_file: Path | None = None,
) -> int:
    """Serve `count` replicas of `command` (a `qvl serve` without address) as serving.serve_local does.

    folder: the checkpoint that `command` names. tell: is told of replicas that end and are started
    again. The ready file follows their pids and weights. EndpointError, status 4, where all of them keep
    failing; a first start that fails is told with the replica's own words and status.
    """
    key = server.check_access(host, served)
    listener = server.bind(host, port)
    need("aiohttp", extra="client")
    from qvl.engines.fleet.router import Front

    with listener, tempfile.TemporaryDirectory(prefix="qvl-") as ready_files:
        endpoint = server.address(listener)

        def facts() -> dict[str, Any]:
            return {**fleet.facts(), "endpoint": endpoint, "pid": os.getpid()}

        def write() -> None:
            if ready_file:
                server.write_ready_file(ready_file, orjson.dumps(facts()) + b"\n")

        def announce() -> None:
            write()
            ready(facts())

        fleet = Fleet(command, folder, shares(count), Path(ready_files), tell, write)
        app = Front(fleet, key).app()
        try:
            return asyncio.run(
                server.run_app(app, listener, announce, served, endpoint, fleet.begin)
            )
        except Terminated:
            if fleet.failure:  # that is what ended us
                raise fleet.failure from None
            raise
        finally:
            if ready_file:
                ready_file.unlink(missing_ok=True)


def shares(count: int) -> list[dict[str, str]]:
    """What the environment of each replica has of its own: its GPUs, or its part of the cores."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = [str(i) for i in range(len(environments.gpus()))] if said is None else said.split(",")
    devices = [device.strip() for device in devices if device.strip()]
    if not devices:
        threads = str(max(1, (os.cpu_count() or 1) // count))
        return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}] * count
    each = len(devices) // count
    if not each:
        raise UserError(
            f"--replicas {count}: there are {len(devices)} GPUs; CUDA_VISIBLE_DEVICES= serves on the CPU"
        )
    parts = [devices[i * each : (i + 1) * each] for i in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(part)} for part in parts]


class Replica:
    """One engine: its process, and how busy it is with us."""

    def __init__(
        self, number: int, command: Sequence[str], own: dict[str, str], ready_file: Path
    ) -> None:
        self.number, self.command, self.own, self.ready_file = number, command, own, ready_file
        self.busy = self.asked = 0
        self.ends = 0  # in a row, soon after it was up or before
        self.stillborn = 0  # of these, the last ones before it could be asked
        self.facts: dict[str, Any] | None = None  # once it is ready
        self.prepared = False  # it is as the others are, and may be asked
        self.ready_since = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.last_words: deque[str] = deque(maxlen=8)

    def start(self) -> None:
        self.facts, self.prepared = None, False
        self.last_words.clear()
        self.ready_file.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self.command, "--host", "127.0.0.1", "--port", "0", "--ready-file", self.ready_file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **self.own},
            start_new_session=True,  # a terminal's Ctrl-C comes once, through us
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # also of a parent that is killed
        )
        self.voice = threading.Thread(
            target=self._pass_on, args=(self._process.stderr,), daemon=True
        )
        self.voice.start()

    @property
    def up(self) -> bool:
        return self.prepared and self.status() is None

    @property
    def endpoint(self) -> str:
        assert self.facts
        return self.facts["endpoint"]

    def status(self) -> int | None:
        """The exit status, None as long as it runs."""
        return self._process.poll() if self._process else 0

    def signal(self, number: int) -> None:
        if self._process:
            self._process.send_signal(number)

    def look(self) -> bool:
        """Whether it has become ready since the last look."""
        if self.facts is None and self.ready_file.exists():
            self.facts = orjson.loads(self.ready_file.read_bytes())
            self.ready_since = time.monotonic()
            return True
        return False

    def was_steady(self) -> bool:
        return self.facts is not None and time.monotonic() - self.ready_since > STEADY_SECONDS

    def why(self) -> str:
        """Why its process ended, in its own words where it had any."""
        self.voice.join(LAST_WORDS_SECONDS)
        said = next((line for line in reversed(self.last_words) if line.startswith(PREFIX)), None)
        if said:
            return said.removeprefix(PREFIX)
        status = self.status() or 0
        return f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"

    def _pass_on(self, pipe: Any) -> None:
        """Its words go to our standard error; what it says in parting is ours to tell."""
        with pipe:
            for line in pipe:
                self.last_words.append(line.decode("utf-8", "replace").rstrip("\n"))
                if not line.startswith((PREFIX.encode(), b"qvl serve: ")):
                    with contextlib.suppress(BrokenPipeError):  # nobody reads
                        os.write(2, line)


class Fleet:
    """The replicas, started, watched, and started again.

    own: what the environment of each has of its own. news: called when the facts are others.
    failure: why they were given up.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        own: Sequence[dict[str, str]],
        ready_files: Path,
        tell: Callable[[str], None],
        news: Callable[[], None],
    ) -> None:
        self.replicas = [
            Replica(i, command, each, ready_files / f"{i}.json") for i, each in enumerate(own)
        ]
        self.orders = Orders(folder, self.replicas, tell)
        self.tell, self.news = tell, news
        self.failure: UserError | None = None
        self._begun = False
        self._said: dict[str, Any] = {}
        self._keepers: list[asyncio.Task[None]] = []

    async def begin(self, stopped: "asyncio.Future[int]") -> None:
        """Start all and wait until each is ready. UserError with the words of one that fails."""
        self._stopped = stopped
        self._keepers = [asyncio.create_task(self._keep(each)) for each in self.replicas]
        while not stopped.done() and not all(each.up for each in self.replicas):
            await asyncio.wait((stopped,), timeout=POLL_SECONDS)
        if self.failure:
            raise self.failure
        if stopped.done():
            server.raise_for(stopped.result())
        self._begun = True

    async def _keep(self, replica: Replica) -> None:
        while True:
            why = f"replica {replica.number}: {await self._live(replica)}"
            replica.ends = 1 if replica.was_steady() else replica.ends + 1
            replica.stillborn = 0 if replica.prepared else replica.stillborn + 1
            lost = all(each.stillborn >= GIVE_UP for each in self.replicas)
            if lost or not self._begun:
                usage = not self._begun and replica.status() == UserError.status
                self.failure = self.failure or (UserError if usage else EndpointError)(why)
                server.settle(self._stopped, signal.SIGTERM)
                return
            wait = min(FIRST_BACKOFF_SECONDS * 2 ** (replica.ends - 1), MAX_BACKOFF_SECONDS)
            self.tell(f"{why}; it starts again in {wait:.0f} s")
            await asyncio.sleep(wait)

    async def _live(self, replica: Replica) -> str:
        """Start it, and say why it ended once it has."""
        try:
            replica.start()
        except OSError as error:  # no memory for a process, above all
            return f"it could not be started: {error.strerror}"
        health = asyncio.create_task(self._kill_once_wedged(replica))
        failed = None
        while replica.status() is None:
            if replica.look() and not (failed := await self._prepare(replica)) and self._begun:
                self.tell_news()
            await asyncio.sleep(POLL_SECONDS)
        if health.done():
            return f"it answered nothing for {WEDGED_SECONDS:g} s and was killed"
        health.cancel()
        return failed or await asyncio.to_thread(replica.why)

    async def _prepare(self, replica: Replica) -> str | None:
        """Have it as the others are; why it could not be, and was killed."""
        try:
            await self.orders.prepare(replica)
        except UserError as error:
            replica.signal(signal.SIGKILL)
            return str(error)
        return None

    def tell_news(self) -> None:
        """The facts are others now."""
        try:
            self.news()
        except UserError as error:  # of the ready file, say: no reason to lose a replica
            self.tell(str(error))

    async def _kill_once_wedged(self, replica: Replica) -> None:
        answered = time.monotonic()
        while time.monotonic() - answered < WEDGED_SECONDS:
            await asyncio.sleep(HEALTH_SECONDS)
            silent = self.orders.silent or replica.facts is None
            if silent or await _answers(replica.endpoint):
                answered = time.monotonic()
        replica.signal(signal.SIGKILL)

    def pick(self, tried: Collection[int]) -> Replica | None:
        """The one to ask next: not tried yet if possible, then idle, then asked least."""
        up = [each for each in self.replicas if each.up]
        return min(up, key=lambda r: (r.number in tried, r.busy, r.asked), default=None)

    def facts(self) -> dict[str, Any]:
        """What a replica says of itself, or the last said, and where each of them is that is up."""
        known = [each.facts for each in self.replicas if each.facts and each.up]
        self._said = known[0] if known else self._said
        shared = {name: said for name, said in self._said.items() if name != "engine_pid"}
        can = dict.fromkeys((*shared["capabilities"], *OWN))
        shared |= {"weight_version": self.orders.version, "capabilities": list(can)}
        named = ("endpoint", "pid", "engine_pid")
        replicas = [{name: each[name] for name in named if name in each} for each in known]
        return {**shared, "replicas": replicas}

    async def stop(self) -> None:
        """All replicas are gone when this returns."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for replica in self.replicas:
            replica.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(each.status() is None for each in self.replicas) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        for replica in self.replicas:
            replica.signal(signal.SIGKILL)
        while any(each.status() is None for each in self.replicas):
            await asyncio.sleep(POLL_SECONDS)


async def _answers(endpoint: str) -> bool:
    """Whether a server says anything to GET /health in time; what, its process tells by itself."""
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(
                    f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
                )
                return bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
