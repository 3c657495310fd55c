"""Pauses, sleep and new weights for all replicas behind one endpoint.

Each replica is changed through qvl.engines.client. One that fails to change is killed, and a replica
that starts gets the state of the others before its first request. So a change reaches all replicas, and
a response comes from the weights that its version names.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from qvl.engines import weights
from qvl.engines.client import EngineClient, WeightUpdateFailed, connect
from qvl.engines.fleet.replica import Replica
from qvl.errors import EndpointError, UserError

POLL_SECONDS = 0.05

Change = Callable[[EngineClient], None]
Outcomes = dict[Replica, UserError | None]  # None, or why a replica failed to change


class FleetControl:
    """The state that all replicas share, and the changes to it.

    folder, weight_version: the served weights. is_paused: requests are held back.
    """

    def __init__(
        self, folder: Path, replicas: Sequence[Replica], report: Callable[[str], None]
    ) -> None:
        self.folder, self.weight_version = folder, weights.FIRST_VERSION
        self.is_paused = self.is_asleep = False
        self.replicas, self.report = replicas, report
        self._first = (folder, weights.FIRST_VERSION)  # the weights that a replica starts with
        self._lock = asyncio.Lock()  # one change at a time

    @property
    def may_be_silent(self) -> bool:
        """Whether replicas may not answer health checks: SGLang's do not during a change or sleep."""
        return self.is_asleep or self._lock.locked()

    async def prepare(self, replica: Replica) -> None:
        """Give a replica that has started the state of the others. UserError says why it failed."""
        folder = self._first[0]

        def change(engine: EngineClient) -> None:
            if (self.folder, self.weight_version) != self._first:
                engine.load_weights(self.folder, self.weight_version)
            if self.is_asleep:
                engine.sleep()

        async with self._lock:
            if self.is_asleep or (self.folder, self.weight_version) != self._first:
                error = await asyncio.to_thread(_try, replica.endpoint, folder, change)
                if error:
                    raise error
            replica.is_prepared = True

    async def pause(self) -> None:
        """Hold new requests back; return once none is in flight."""
        self.is_paused = True
        while any(each.in_flight for each in self.replicas):
            await asyncio.sleep(POLL_SECONDS)

    async def resume(self) -> None:
        """Pass requests on again."""
        self.is_paused = False

    async def sleep(self) -> None:
        """Pause, and free the memory of every accelerator."""
        await self.pause()
        async with self._lock:
            self.is_asleep = True
            self._kill_failed(await self._change_all(lambda engine: engine.sleep()))

    async def wake(self) -> None:
        """Allocate the memory again, and resume."""
        async with self._lock:
            self.is_asleep = False
            self._kill_failed(await self._change_all(lambda engine: engine.wake()))
        await self.resume()

    async def load_weights(self, folder: Path, version: str) -> None:
        """Load the weights of `folder` into every replica, known as `version`.

        If at least one loads them, the others are restarted and load them then. If none does, all
        keep the previous ones: EndpointError. UserError for a folder that cannot be served.
        """
        async with self._lock:
            if self.is_asleep:
                raise UserError("the engines are asleep; wake them first")
            await asyncio.to_thread(weights.check_same_shapes, self.folder, folder)
            outcomes = await self._change_all(lambda engine: engine.load_weights(folder, version))
            if None in outcomes.values():
                self.folder, self.weight_version = folder, version
                self._kill_failed(outcomes)
                return
            # One that serves the previous weights is in the state of the others.
            self._kill_failed(
                {
                    replica: error
                    for replica, error in outcomes.items()
                    if not isinstance(error, WeightUpdateFailed)
                }
            )
            raise next(filter(None, outcomes.values()), EndpointError("no replica is up"))

    async def _change_all(self, change: Change) -> Outcomes:
        """Apply a change to all replicas that are up, in parallel."""
        up = [each for each in self.replicas if each.is_up]
        tasks = (asyncio.to_thread(_try, each.endpoint, self.folder, change) for each in up)
        return dict(zip(up, await asyncio.gather(*tasks), strict=True))

    def _kill_failed(self, outcomes: Outcomes) -> None:
        """Kill the replicas that failed to change; their supervisors restart and prepare them."""
        for replica, error in outcomes.items():
            if error and replica.is_up:  # else it ended by itself, and may have been restarted
                self.report(f"replica {replica.number}: {error}")
                replica.signal(signal.SIGKILL)


def _try(endpoint: str, folder: Path, change: Change) -> UserError | None:
    """Apply a change to the engine at an address, which serves `folder`; the error if it failed."""
    try:
        with connect(endpoint, folder) as engine:
            change(engine)
    except UserError as error:
        return error
    return None
