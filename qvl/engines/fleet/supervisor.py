"""How a replica is restarted.

Its process is started; once it is ready it gets the state of the others (control.py) and then requests.
One that runs but does not answer health checks is killed. When the process ends it is started again,
with a delay that doubles while it keeps failing.
"""

import asyncio
import signal
import time
from collections.abc import Callable

from qvl.engines.fleet.control import FleetControl
from qvl.engines.fleet.replica import Replica
from qvl.errors import UserError

POLL_SECONDS = 0.05
FIRST_DELAY_SECONDS = 1.0  # before the first restart: our choice
MAX_DELAY_SECONDS = 60.0
HEALTH_SECONDS = 10.0  # between two health checks, and the time limit of each: our choice
HANG_SECONDS = 60.0  # without an answer to a health check: our choice


class Supervisor:
    """Keeps one replica running."""

    def __init__(
        self,
        replica: Replica,
        control: FleetControl,
        report: Callable[[str], None],
        on_up: Callable[[], None],
    ) -> None:
        """report: called with a line for the log. on_up: called when the replica may take requests."""
        self.replica, self.control = replica, control
        self.report, self.on_up = report, on_up

    async def keep_running(self, give_up: Callable[[Replica, str], bool]) -> None:
        """Start the replica, and restart it whenever it ends, until `give_up(replica, reason)`."""
        replica = self.replica
        while True:
            reason = f"replica {replica.number}: {await self.run_once()}"
            replica.count_end()
            if give_up(replica, reason):
                return
            delay = min(FIRST_DELAY_SECONDS * 2 ** (replica.failures - 1), MAX_DELAY_SECONDS)
            self.report(f"{reason}; it restarts in {delay:.0f} s")
            await asyncio.sleep(delay)

    async def run_once(self) -> str:
        """Start the replica, and return the reason once it has ended."""
        replica = self.replica
        try:
            replica.start()
        except OSError as error:  # most often no memory for a process
            return f"it could not be started: {error.strerror}"
        health = asyncio.create_task(self._kill_if_it_hangs())
        error = None
        while replica.status() is None:
            if replica.becomes_ready():
                error = await self._prepare()
                if error is None:
                    self.on_up()
            await asyncio.sleep(POLL_SECONDS)
        if health.done():
            return f"it did not answer for {HANG_SECONDS:g} s and was killed"
        health.cancel()
        return error or await asyncio.to_thread(replica.exit_reason)

    async def _prepare(self) -> str | None:
        """Give it the state of the others, or kill it; returns why."""
        try:
            await self.control.prepare(self.replica)
        except UserError as error:
            self.replica.signal(signal.SIGKILL)
            return str(error)
        return None

    async def _kill_if_it_hangs(self) -> None:
        answered = time.monotonic()
        while time.monotonic() - answered < HANG_SECONDS:
            await asyncio.sleep(HEALTH_SECONDS)
            may_be_silent = self.control.may_be_silent or self.replica.facts is None
            if may_be_silent or await _answers(self.replica.endpoint):
                answered = time.monotonic()
        self.replica.signal(signal.SIGKILL)


async def _answers(endpoint: str) -> bool:
    """Whether a server sends any response to GET /health in time: one that fails ends by itself."""
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
