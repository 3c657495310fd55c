"""Work that was begun elsewhere, as in a client's event loop, and what is made of several such."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

STEP_SECONDS = 0.005  # between two looks at whether work in steps can go on


class Pending(Protocol):
    """Work that was begun: a future, or what several of them make."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...


class Stepwise(Pending, Protocol):
    """Work whose next step depends on what the one before it gave."""

    def advance(self) -> bool:
        """Begin the next step, if the one before it is done; whether there is none left."""
        ...


class Ready(NamedTuple):
    """A result that needs no waiting."""

    value: Any

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self.value


class Gather(NamedTuple):
    """What is made of several pending results, in their order."""

    pending: Sequence[Pending]
    combine: Callable[[list], Any]

    def done(self) -> bool:
        return all(each.done() for each in self.pending)

    def result(self) -> Any:
        return self.combine([each.result() for each in self.pending])


class Steps:
    """The work of a window that goes on in steps, so that none waits for those before it."""

    def __init__(self) -> None:
        self._stepwise: list[Stepwise] = []
        self._next = 0.0

    def add(self, pending: Pending) -> None:
        if hasattr(pending, "advance"):  # isinstance with a protocol costs as much as a rule
            self._stepwise.append(cast(Stepwise, pending))
            self.advance()

    def advance(self) -> None:
        now = time.monotonic()
        if self._stepwise and now >= self._next:
            self._stepwise = [each for each in self._stepwise if not each.advance()]
            self._next = time.monotonic() + STEP_SECONDS
