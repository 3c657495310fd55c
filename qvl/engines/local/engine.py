"""The thread that decodes: it admits waiting rows, steps the batch and returns finished rows."""

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

from qvl.engines.local.batch import DecodingBatch, Row
from qvl.engines.local.checkpoint import Checkpoint

# Waiting rows are admitted after QUIET_STEPS steps without a new one, and after ADMIT_WITHIN steps at
# the latest, if there is room. With 64 requests in flight these were the fastest of several pairs.
QUIET_STEPS, ADMIT_WITHIN = 2, 8


class EngineFailed(Exception):
    """A row was not finished: its batch failed, or the engine stopped."""


@dataclass
class QueuedCall:
    """A function to call in the engine's thread, between two steps."""

    function: Callable[[], Any]
    drained: bool
    """wait until every row that decodes is finished; until then none joins"""
    result: "Future[Any]" = field(default_factory=Future)


class Engine:
    """Decodes rows that any thread submits: up to `max_batch` at once, the others wait in order.

    on_failure: called in the engine's thread for each row that a failure or the end interrupts.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        max_batch: int,
        on_failure: Callable[[Row, EngineFailed], None],
    ) -> None:
        self.checkpoint, self.max_batch, self.on_failure = checkpoint, max_batch, on_failure
        self._inbox: queue.SimpleQueue[Row | QueuedCall | None] = queue.SimpleQueue()
        self._waiting: deque[Row] = deque()
        self._joining: list[Row] = []
        self._calls: deque[QueuedCall] = deque()
        self.is_paused = False  # no row joins; changed by queued calls only
        self._delayed = 0  # steps since the first waiting row could have been admitted
        self._quiet = 0  # the last of these, without a new row
        self._batch = DecodingBatch(checkpoint)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, row: Row) -> None:
        """Queue a row; its on_finish or on_failure is called in the engine's thread."""
        self._inbox.put(row)

    def call(self, function: Callable[[], Any], *, drained: bool = False) -> "Future[Any]":
        """Call a function in the engine's thread, in order; returns the future of its result."""
        call = QueuedCall(function, drained)
        self._inbox.put(call)
        return call.result

    def abort(self) -> None:
        """For a queued call: end every row with its tokens so far and the finish reason "abort"."""
        for row in [*self._batch.rows, *self._waiting]:
            if not row.is_over:
                row.abort()
        self._waiting.clear()

    def forget(self) -> None:
        """For a queued call: forget what is known of rows that are over, as new weights compute it anew."""
        self._batch.prefixes.clear()

    def close(self) -> None:
        """Stop after the present step; unfinished rows fail."""
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
                self._run_calls()
                live = self._batch.num_live
                if self._is_time(live, arrived):
                    self._admit(self.max_batch - live)
                elif live:
                    self._batch.step()
            except Exception as error:  # noqa: BLE001 - the engine outlives one bad batch
                traceback.print_exc(file=sys.stderr)
                self._fail(f"the engine failed: {type(error).__name__}: {error}"[:300])

    def _is_joinable(self) -> bool:
        return bool(self._waiting) and not self.is_paused and not self._calls

    def _is_idle(self) -> bool:
        return not (self._batch.num_live or self._is_joinable() or self._calls)

    def _receive(self, wait: bool) -> int:
        """Receive what was submitted, and return the number of rows; `wait` blocks until there is any."""
        before = len(self._waiting)
        while True:
            try:
                each = self._inbox.get(block=wait)
            except queue.Empty:
                break
            if each is None:
                break
            if isinstance(each, QueuedCall):
                self._calls.append(each)
            else:
                self._waiting.append(each)
            wait = False
        return len(self._waiting) - before

    def _run_calls(self) -> None:
        """Run the queued calls in order, up to the first that must wait for rows to finish."""
        while self._calls and not (self._calls[0].drained and self._batch.num_live):
            call = self._calls.popleft()
            if not call.result.set_running_or_notify_cancel():
                continue
            try:
                call.result.set_result(call.function())
            except Exception as error:  # noqa: BLE001 - raised where the result is read
                call.result.set_exception(error)

    def _is_time(self, live: int, arrived: int) -> bool:
        """Whether to admit the waiting rows. A prefill stalls all rows, so rows that come together are
        admitted together; such are the next requests of rows that ended together."""
        if not self._is_joinable() or live >= self.max_batch:
            return False
        self._delayed += 1
        self._quiet = 0 if arrived else self._quiet + 1
        return not live or self._quiet >= QUIET_STEPS or self._delayed > ADMIT_WITHIN

    def _admit(self, room: int) -> None:
        self._delayed = self._quiet = 0
        while self._waiting and len(self._joining) < room:
            row = self._waiting.popleft()
            if not row.is_cancelled:
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
        self._batch = DecodingBatch(self.checkpoint)
        for row in dict.fromkeys(rows):
            if not row.is_over:
                row.is_cancelled = True
                self.on_failure(row, EngineFailed(reason))
        if self._closing.is_set():
            for call in self._calls:
                call.result.set_exception(EngineFailed(reason))
