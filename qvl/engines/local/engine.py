"""The thread that decodes: admits what waits, steps the batch, hands answers over."""

import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from qvl.engines.local.batch import Batch, Row
from qvl.engines.local.checkpoint import Checkpoint

# Steps without a newcomer after which those that wait are admitted, and steps that one waits at most
# where there is room. Of several pairs, 64 requests in flight were answered fastest with these.
QUIET_STEPS, ADMIT_WITHIN = 2, 8


class EngineFailed(Exception):
    """A row was cut short: a failure of its batch, or the end of the engine."""


@dataclass
class Errand:
    """Work for the engine's thread, between two steps."""

    work: Callable[[], Any]
    drained: bool
    """wait until every row that decodes is over; meanwhile none joins"""
    done: "Future[Any]" = field(default_factory=Future)


class Engine:
    """Decodes rows that any thread submits; `max_batch` rows at once, the others wait in order.

    failed: called, in the engine's thread, for each row that a failure or the end cuts short.
    """

    def __init__(
        self, checkpoint: Checkpoint, max_batch: int, failed: Callable[[Row, EngineFailed], None]
    ) -> None:
        self.checkpoint, self.max_batch, self.failed = checkpoint, max_batch, failed
        self._inbox: queue.SimpleQueue[Row | Errand | None] = queue.SimpleQueue()
        self._waiting: deque[Row] = deque()
        self._joining: list[Row] = []
        self._errands: deque[Errand] = deque()
        self.paused = False  # no row joins; changed by errands alone
        self._delayed = 0  # steps since the first that waits could have been admitted
        self._quiet = 0  # of these, the last ones in which nobody came
        self._batch = Batch(checkpoint)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, row: Row) -> None:
        self._inbox.put(row)

    def call(self, work: Callable[[], Any], *, drained: bool = False) -> "Future[Any]":
        """The result to come of `work` in the engine's thread; errands are run in order."""
        errand = Errand(work, drained)
        self._inbox.put(errand)
        return errand.done

    def abort(self) -> None:
        """An errand: every row ends here, with what it has and the finish reason "abort"."""
        for row in [*self._batch.rows, *self._waiting]:
            if not row.over:
                row.abort()
        self._waiting.clear()

    def close(self) -> None:
        """Stop after the present step; rows that are not over fail."""
        self._closing.set()
        self._inbox.put(None)
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            arrived = self._receive(wait=self._is_idle())
            if self._closing.is_set():
                self._fail("the server is stopping")
                return
            try:
                self._run_errands()
                live = self._batch.live
                if self._is_time(live, arrived):
                    self._admit(self.max_batch - live)
                elif live:
                    self._batch.step()
            except Exception as error:  # noqa: BLE001 - the engine outlives one bad batch
                traceback.print_exc(file=sys.stderr)
                self._fail(f"the engine failed: {type(error).__name__}: {error}"[:300])

    def _is_joinable(self) -> bool:
        return bool(self._waiting) and not self.paused and not self._errands

    def _is_idle(self) -> bool:
        return not (self._batch.live or self._is_joinable() or self._errands)

    def _receive(self, wait: bool) -> int:
        """Take in what was submitted, and say how many rows; block while there is nothing to do."""
        before = len(self._waiting)
        while True:
            try:
                each = self._inbox.get(block=wait)
            except queue.Empty:
                break
            if each is None:
                break
            if isinstance(each, Errand):
                self._errands.append(each)
            else:
                self._waiting.append(each)
            wait = False
        return len(self._waiting) - before

    def _run_errands(self) -> None:
        """All that are due; one that waits for the rows holds those behind it."""
        while self._errands and not (self._errands[0].drained and self._batch.live):
            errand = self._errands.popleft()
            if not errand.done.set_running_or_notify_cancel():
                continue
            try:
                errand.done.set_result(errand.work())
            except Exception as error:  # noqa: BLE001 - it is told to whoever waits for it
                errand.done.set_exception(error)

    def _is_time(self, live: int, arrived: int) -> bool:
        """Whether to admit what waits. A prefill stalls all rows, so those that come together, as
        the next requests of rows that ended together do, are admitted together."""
        if not self._is_joinable() or live >= self.max_batch:
            return False
        self._delayed += 1
        self._quiet = 0 if arrived else self._quiet + 1
        return not live or self._quiet >= QUIET_STEPS or self._delayed > ADMIT_WITHIN

    def _admit(self, room: int) -> None:
        self._delayed = self._quiet = 0
        while self._waiting and len(self._joining) < room:
            row = self._waiting.popleft()
            if not row.cancelled:
                self._joining.append(row)
        if self._joining:
            for row in self._joining:
                row.version = self.checkpoint.version
            self._batch.join(self._joining)
        self._joining = []

    def _fail(self, reason: str) -> None:
        rows = [*self._batch.rows, *self._joining, *self._waiting]
        self._waiting.clear()
        self._joining = []
        self._batch = Batch(self.checkpoint)
        for row in dict.fromkeys(rows):
            if not row.over:
                row.cancelled = True
                self.failed(row, EngineFailed(reason))
        if self._closing.is_set():
            for errand in self._errands:
                errand.done.set_exception(EngineFailed(reason))
