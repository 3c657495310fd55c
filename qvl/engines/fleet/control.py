"""What changes all replicas behind one endpoint: pauses, sleep and new weights.

Each replica takes an order the way qvl.engines.protocol has its engine take it. One that does not is
killed, and whoever starts has the weights of the others before it is asked anything; so an order is
carried out by all, and an answer is of the weights that its version names.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.engines import weights
from qvl.errors import EndpointError, UserError

if TYPE_CHECKING:
    from qvl.engines.fleet.replicas import Replica
    from qvl.engines.protocol import Engine

    Order = Callable[[Engine], None]
    Outcomes = dict[Replica, UserError | None]  # why one did not follow an order

POLL_SECONDS = 0.05


class Orders:
    """What the replicas were told, which those that start again are told anew.

    folder, version: of the weights that are served. paused: nothing may be asked.
    """

    def __init__(
        self, folder: Path, replicas: Sequence["Replica"], tell: Callable[[str], None]
    ) -> None:
        self.folder, self.version = folder, weights.FIRST_VERSION
        self.paused = self.asleep = False
        self.replicas, self.tell = replicas, tell
        self._first = (folder, weights.FIRST_VERSION)  # what a replica has that starts
        self._one_at_a_time = asyncio.Lock()

    @property
    def silent(self) -> bool:
        """Whether an engine may owe no answer: SGLang gives none while its weights change or sleep."""
        return self.asleep or self._one_at_a_time.locked()

    async def prepare(self, replica: "Replica") -> None:
        """Have one that has started be as the others are. UserError says why it is not."""

        def follow(engine: "Engine") -> None:
            if (self.folder, self.version) != self._first:
                engine.load(self.folder, self.version)
            if self.asleep:
                engine.sleep()

        async with self._one_at_a_time:
            if self.asleep or (self.folder, self.version) != self._first:
                why = await asyncio.to_thread(_follow, replica.endpoint, self._first[0], follow)
                if why:
                    raise why
            replica.prepared = True

    async def pause(self) -> None:
        """Let what is asked from now on wait; return once nothing is in flight."""
        self.paused = True
        while any(each.busy for each in self.replicas):
            await asyncio.sleep(POLL_SECONDS)

    async def resume(self) -> None:
        self.paused = False

    async def sleep(self) -> None:
        """Pause, and have every engine give its accelerator's memory back."""
        await self.pause()
        async with self._one_at_a_time:
            self.asleep = True
            self._start_again(await self._all(lambda engine: engine.sleep()))

    async def wake(self) -> None:
        async with self._one_at_a_time:
            self.asleep = False
            self._start_again(await self._all(lambda engine: engine.wake()))
        await self.resume()

    async def load(self, folder: Path, version: str) -> None:
        """Have every replica answer with the weights of `folder` from now on, known as `version`.

        Where one takes them those that do not are started again, and get them then. Where none does,
        all keep the last good ones: EndpointError. UserError for a folder that cannot be served.
        """
        from qvl.engines.protocol import Kept

        async with self._one_at_a_time:
            if self.asleep:
                raise UserError("the engines sleep; wake them first")
            await asyncio.to_thread(weights.check_alike, self.folder, folder)
            outcomes = await self._all(lambda engine: engine.load(folder, version))
            if None in outcomes.values():
                self.folder, self.version = folder, version
                self._start_again(outcomes)
                return
            self._start_again(
                {each: why for each, why in outcomes.items() if not isinstance(why, Kept)}
            )
            raise next(filter(None, outcomes.values()), EndpointError("no replica is up"))

    async def _all(self, order: "Order") -> "Outcomes":
        """Have all that are up follow an order, side by side."""
        asked = [each for each in self.replicas if each.up]
        tasks = (asyncio.to_thread(_follow, each.endpoint, self.folder, order) for each in asked)
        return dict(zip(asked, await asyncio.gather(*tasks), strict=True))

    def _start_again(self, outcomes: "Outcomes") -> None:
        """Kill those that did not follow an order: each is then started again, and prepared."""
        for replica, why in outcomes.items():
            if why and replica.up:  # else it has ended, and may have been started again meanwhile
                self.tell(f"replica {replica.number}: {why}")
                replica.signal(signal.SIGKILL)


def _follow(endpoint: str, folder: Path, order: "Order") -> UserError | None:
    """Have the engine at an address, which serves the weights of `folder`, follow an order; why it did not."""
    from qvl.engines.protocol import connect

    try:
        with connect(endpoint, folder) as engine:
            order(engine)
    except UserError as error:
        return error
    return None
