"""A function of one record on several cores: processes that are given batches over pipes.

A process of ours ends when its standard input does, so none outlives a command that was killed. It
is no member of the terminal's process group: Ctrl-C reaches the command, and the command ends it.
"""

import contextlib
import pickle
import queue
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from qvl.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Future

LENGTH = struct.Struct(">Q")
PR_SET_PDEATHSIG = 1
LISTENER = "QVL_LAUNCH_LISTENER"  # of ranks: rank 0's file descriptor of the socket where they meet
MOST = 128  # records of a batch
BATCH_SECONDS = 0.05  # a batch that took longer to come together is too large
_END = object()

Function = Callable[[dict], Any]


def ordered(
    items: Iterable[tuple[dict, Any]], function: Function, count: int
) -> Iterator[tuple[dict, Any]]:
    """(record, result) of each item (record, known), in order: `known`, or else what `function` gives.

    Records travel in batches that grow while they come fast, so a slow stream is not held up.
    """
    from concurrent.futures import ThreadPoolExecutor

    window: deque[tuple[list[tuple[dict, Any]], Future[Reply]]] = deque()
    with Processes(function, count) as processes:
        pool = ThreadPoolExecutor(count)
        try:
            for batch in _batches(items):
                unknown = [record for record, known in batch if known is None]
                window.append((batch, pool.submit(processes, unknown)))
                while window and (len(window) > 2 * count or window[0][1].done()):
                    yield from _opened(*window.popleft())
            while window:
                yield from _opened(*window.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _opened(batch: list[tuple[dict, Any]], future: "Future[Reply]") -> Iterator[tuple[dict, Any]]:
    reply = future.result()
    results = iter(reply.results)
    for record, known in batch:
        if known is None:
            result = next(results, _END)
            if result is _END:
                raise reply.error or RuntimeError("a batch came back short")
            known = result
        yield record, known


def _batches(items: Iterable[tuple[dict, Any]]) -> Iterator[list[tuple[dict, Any]]]:
    size, batch, began = 1, [], time.monotonic()
    for item in items:
        batch.append(item)
        if len(batch) >= size:
            fast = time.monotonic() - began < BATCH_SECONDS
            yield batch
            size = min(2 * size, MOST) if fast else max(size // 2, 1)
            batch, began = [], time.monotonic()
    if batch:
        yield batch


class Reply:
    """The results of a batch, in order, up to the record at which the function raised `error`."""

    def __init__(self, results: list, error: BaseException | None) -> None:
        self.results, self.error = results, error


class Processes:
    """`count` processes that all do `function`, which is pickled: a module's, or a bound method.

    Used as a context; leaving it ends them, whatever they are doing.
    """

    def __init__(self, function: Function, count: int) -> None:
        code = "from qvl.processes import serve; serve()"
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._all: list[subprocess.Popen[bytes]] = []
        self._closing = threading.Event()
        pickled = pickle.dumps(function)
        try:
            for _ in range(count):
                process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    process_group=0,
                )
                self._all.append(process)
                send(_pipe(process.stdin), pickle.dumps(sys.path))
                send(_pipe(process.stdin), pickled)
                self._idle.put(process)
        except BaseException:
            self.close()
            raise

    def __call__(self, records: list[dict]) -> Reply:
        """Do one batch in a process that is idle. Called from as many threads as there are some."""
        process = self._idle.get()
        if self._closing.is_set():
            self._idle.put(process)  # the next thread that waits must wake as well
            return Reply([], None)
        try:
            send(_pipe(process.stdin), pickle.dumps(records, pickle.HIGHEST_PROTOCOL))
            reply = pickle.loads(receive(_pipe(process.stdout)))
        except (EOFError, OSError):
            if self._closing.is_set():
                return Reply([], None)
            raise UserError(
                f"--jobs: a process ended with status {process.wait()}; was memory short? try fewer"
            ) from None
        self._idle.put(process)
        return reply

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        for process in self._all:
            process.kill()
            self._idle.put(process)  # whoever waits for one would else wait for ever
        for process in self._all:
            process.wait()
            with contextlib.suppress(OSError):  # what was not flushed to a process that is gone
                _pipe(process.stdin).close()


def serve() -> None:
    """The other end: a function first, then a reply to each batch until the input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a function prints must not stand among the replies
    with contextlib.suppress(EOFError, BrokenPipeError):
        sys.path[:] = pickle.loads(receive(source))
        function = pickle.loads(receive(source))
        while True:
            reply = _do(function, pickle.loads(receive(source)))
            send(target, pickle.dumps(reply, pickle.HIGHEST_PROTOCOL))


def _do(function: Function, records: list[dict]) -> Reply:
    results = []
    for record in records:
        try:
            results.append(function(record))
        except Exception as error:  # noqa: BLE001 (it is raised again where the results are used)
            if not isinstance(error, UserError):
                error.add_note("".join(traceback.format_tb(error.__traceback__)))
            return Reply(results, error)
    return Reply(results, None)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def end_with_parent(number: int) -> None:
    """Have this process get signal `number` when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """One message; EOFError where the other end is gone."""
    return _exactly(pipe, LENGTH.unpack(_exactly(pipe, LENGTH.size))[0])


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
