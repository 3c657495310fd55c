"""All replicas of one endpoint: started together, picked by load, stopped together."""

import asyncio
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from qvl.client.endpoint import Sessions
from qvl.engines.fleet.control import FleetControl
from qvl.engines.fleet.replica import Replica
from qvl.engines.fleet.supervisor import Supervisor
from qvl.engines.serving import server
from qvl.errors import EndpointError, UserError

POLL_SECONDS = 0.05
MAX_FAILED_STARTS = 5  # in a row, of every replica, before the fleet ends
GRACE_SECONDS = 20.0  # between SIGTERM and SIGKILL: vLLM's own 10, and its start
OWN_CAPABILITIES = ("pause", "replicas")  # of the router, whatever the engines have


class Fleet:
    """The replicas and their supervisors. failure: why the fleet ended by itself."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Sequence[dict[str, str]],
        ready_files: Path,
        report: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        """command: a `qvl serve` of the checkpoint `folder`. variables: per replica, added to its
        environment. report: called with lines for the log. on_change: called when facts() change."""
        self.replicas = [
            Replica(i, command, each, ready_files / f"{i}.json") for i, each in enumerate(variables)
        ]
        self.control = FleetControl(folder, self.replicas, report)
        self.supervisors = [
            Supervisor(each, self.control, report, self.facts_changed) for each in self.replicas
        ]
        self.report, self.on_change = report, on_change
        self.failure: UserError | None = None
        self._sessions: Sessions[Replica] = Sessions(lambda r: (False, r.in_flight, r.num_requests))
        self._has_started = False
        self._shared: dict[str, Any] = {}  # the last facts of a replica
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, stopped: "asyncio.Future[int]") -> None:
        """Start all replicas, and wait until each is up. UserError if one fails, with its message."""
        self._stopped = stopped
        self._tasks = [
            asyncio.create_task(each.keep_running(self._give_up)) for each in self.supervisors
        ]
        while not stopped.done() and not all(each.is_up for each in self.replicas):
            await asyncio.wait((stopped,), timeout=POLL_SECONDS)
        if self.failure:
            raise self.failure
        if stopped.done():
            server.raise_for_signal(stopped.result())
        self._has_started = True

    def _give_up(self, replica: Replica, reason: str) -> bool:
        """Whether the fleet ends: a first start failed, or no replica gets up any more."""
        all_fail = all(each.failed_starts >= MAX_FAILED_STARTS for each in self.replicas)
        if self._has_started and not all_fail:
            return False
        is_usage = not self._has_started and replica.status() == UserError.status
        self.failure = self.failure or (UserError if is_usage else EndpointError)(reason)
        server.settle(self._stopped, signal.SIGTERM)
        return True

    def facts_changed(self) -> None:
        """Announce new facts, once the first ones were."""
        if not self._has_started:
            return
        try:
            self.on_change()
        except UserError as error:  # a ready file that cannot be written ends no replica
            self.report(str(error))

    def pick(self, tried: Collection[int], session: str | None = None) -> Replica | None:
        """The replica for a request: preferably not in `tried`, then that of the session, or the least busy."""
        up = [each for each in self.replicas if each.is_up]
        given = [each for each in up if each.number not in tried] or up
        return self._sessions.choose(given, session) if given else None

    def facts(self) -> dict[str, Any]:
        """The facts of a replica, or the last known ones, with the addresses of all that are up."""
        known = [each.facts for each in self.replicas if each.facts and each.is_up]
        self._shared = known[0] if known else self._shared
        shared = {name: value for name, value in self._shared.items() if name != "engine_pid"}
        capabilities = dict.fromkeys((*shared["capabilities"], *OWN_CAPABILITIES))
        shared |= {
            "weight_version": self.control.weight_version,
            "capabilities": list(capabilities),
        }
        named = ("endpoint", "pid", "engine_pid")
        replicas = [{name: each[name] for name in named if name in each} for each in known]
        return {**shared, "replicas": replicas}

    async def stop(self) -> None:
        """Stop all replicas; none is left when this returns."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica in self.replicas:
            replica.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(each.status() is None for each in self.replicas) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        for replica in self.replicas:
            replica.signal(signal.SIGKILL)
        while any(each.status() is None for each in self.replicas):
            await asyncio.sleep(POLL_SECONDS)
