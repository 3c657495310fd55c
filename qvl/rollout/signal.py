"""What a step is learnt from: the signal that the responses to its queries get."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from qvl.pack.render import Renderer
from qvl.pending import Pending

Record = dict[str, Any]


class Signal(Protocol):
    """Gives each response what it is learnt from, in two steps."""

    def submit(self, record: Record) -> Pending:
        """The record to come, with the signal on each of its responses."""
        ...

    def complete(self, record: Record) -> Record:
        """The record with what follows from the signals of its whole group."""
        ...

    def check(self) -> None:
        """Called at the end of a step; an error ends the run."""
        ...


class Teaching(Protocol):
    """Settings that make a signal in the process that samples; they are pickled on the way."""

    def signal(self, renderer: Renderer) -> "AbstractContextManager[Signal]":
        """renderer: of the model that is trained."""
        ...
