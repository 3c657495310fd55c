"""An event loop in a separate thread, for coroutines of other threads."""

import asyncio
import threading
from collections import deque
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any


class LoopThread:
    """Runs coroutines of other threads; those submitted together wake the loop once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._lock = threading.Lock()
        self._accepts = False
        self._waiting: deque[tuple[Any, Future[Any]]] = deque()  # coroutines and their futures

    def begin(self, opening: Any) -> None:
        """Start the thread, run the coroutine `opening`, then accept others."""
        self._thread.start()
        self.run(opening)
        self._accepts = True

    def submit(self, work: Any) -> "Future[Any]":
        """The future of a coroutine; CancelledError before `begin` and after `refuse`."""
        with self._lock:
            if not self._accepts:
                work.close()
                raise CancelledError
            future: Future[Any] = Future()
            self._waiting.append((work, future))
            if len(self._waiting) == 1:  # waking the loop costs as much as half a request
                self.loop.call_soon_threadsafe(self._start_waiting)
            return future

    def run(self, work: Any) -> Any:
        """The result of a coroutine; blocks. It runs even if others are not accepted."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def refuse(self) -> None:
        """Accept no further coroutines."""
        with self._lock:
            self._accepts = False

    def end(self, closing: Any) -> None:
        """Cancel the running coroutines, run `closing`, and end the thread."""
        self.run(_cancel_all())
        self.run(closing)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _start_waiting(self) -> None:
        """Start the coroutines submitted since the loop last woke. Runs in the loop's thread."""
        while self._waiting:
            work, future = self._waiting.popleft()
            task = self.loop.create_task(work)
            task.add_done_callback(partial(_settle, future))
            future.add_done_callback(partial(self._cancel, task))

    def _cancel(self, task: "asyncio.Task[Any]", future: "Future[Any]") -> None:
        """Cancel the task of a future that was cancelled. Runs in any thread."""
        if future.cancelled() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(task.cancel)


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _settle(future: "Future[Any]", task: "asyncio.Task[Any]") -> None:
    """Copy the result or exception of a task to its future."""
    if task.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    error = task.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
