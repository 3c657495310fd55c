"""Results to come of work that runs elsewhere, as in the event loop of a client."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

STEP_SECONDS = 0.005  # between two checks whether work in steps can go on


class Pending(Protocol):
    """A result to come: a future, or what is computed from several."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...


class Stepwise(Pending, Protocol):
    """Work in steps, each of which depends on the result of the one before."""

    def advance(self) -> bool:
        """Start the next step if the one before is done. Return whether all are."""
        ...


class Ready(NamedTuple):
    """A result that is there."""

    value: Any

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self.value


class Gather(NamedTuple):
    """The combination of several pending results, in their order."""

    pending: Sequence[Pending]
    combine: Callable[[list], Any]

    def done(self) -> bool:
        return all(each.done() for each in self.pending)

    def result(self) -> Any:
        return self.combine([each.result() for each in self.pending])


class Steps:
    """Advances the work in steps among the pending, so that none waits for those before it."""

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
