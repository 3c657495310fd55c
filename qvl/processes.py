"""Child processes over pipes: `Worker`, which can be killed, and `ordered`, on several cores.

A Worker is for a function that an alarm cannot interrupt, such as C code, or that needs a limit of
memory. `ordered` is for a function of one record; its workers get records in batches.

A process ends when its standard input does, so none outlives a command that was killed. It is not a
member of the terminal's process group: Ctrl-C reaches the command, and the command ends it.

Why not pebble, which does both: it is under the LGPL; a call takes it 700 us with spawn and 460 us
with fork, and 32 us here; its import takes 0.3 s where ours takes none; and fork is unsafe in a process
with threads, as ours are that wait for endpoints (measured with pebble 5.2.3 on two busy cores).
"""

import contextlib
import os
import pickle
import queue
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
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
    """(record, result) of each item (record, known), in order: `known`, else function(record).

    Records travel in batches that grow while they come fast, so a slow stream is not held up.
    """
    from concurrent.futures import ThreadPoolExecutor

    window: deque[tuple[list[tuple[dict, Any]], Future[Reply]]] = deque()
    with Pool(function, count) as pool:
        threads = ThreadPoolExecutor(count)
        try:
            for batch in _batches(items):
                unknown = [record for record, known in batch if known is None]
                window.append((batch, threads.submit(pool, unknown)))
                while window and (len(window) > 2 * count or window[0][1].done()):
                    yield from _opened(*window.popleft())
            while window:
                yield from _opened(*window.popleft())
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


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


class Pool:
    """`count` processes that all do `function`, which is pickled: a module's, or a bound method.

    Used as a context; leaving it ends them, whatever they are doing.
    """

    def __init__(self, function: Function, count: int) -> None:
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all = [Worker(partial(_do, function)) for _ in range(count)]
        self._closing = threading.Event()
        try:
            for worker in self._all:
                worker.start()
                self._idle.put(worker)
        except BaseException:
            self.close()
            raise

    def __call__(self, records: list[dict]) -> Reply:
        """Do one batch in a process that is idle; may be called from any number of threads."""
        worker = self._idle.get()
        if self._closing.is_set():
            self._idle.put(worker)  # the next thread that waits must wake as well
            return Reply([], None)
        try:
            reply = worker(None, records)
        except ProcessDied as error:
            if self._closing.is_set():
                return Reply([], None)
            raise UserError(
                f"--jobs: a process ended with status {error.status}; was memory short? try fewer"
            ) from None
        self._idle.put(worker)
        return reply

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        for worker in self._all:
            worker.kill()
            self._idle.put(worker)  # wakes a thread that waits for one


class ProcessDied(MemoryError):
    """A worker's process ended before it answered, most often because memory was short."""

    def __init__(self, status: int) -> None:
        super().__init__(f"its process ended with status {status}")
        self.status = status


class Worker:
    """A process that calls one function; it serves many calls, one at a time.

    function, prepare: pickled. `prepare` runs once before the first call, so that slow imports do not
    count towards a time limit.
    memory: limit of its address space in bytes; None: no limit.
    The first call starts the process; `start` does so without waiting. After a call that failed to
    answer, the next one starts another process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        prepare: Callable[[], object] | None = None,
        memory: int | None = None,
    ) -> None:
        self._work, self._memory = (function, prepare), memory
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready, self._owner = False, 0
        self._turn = threading.Lock()

    def __call__(self, seconds: float | None, *arguments: Any) -> Any:
        """What the function returns, or the error that it raises; threads take turns.

        TimeoutError after `seconds` (None: no limit), ProcessDied where the process ended. Whatever
        else ends the wait, as an alarm of the caller's, kills the process too.
        """
        with self._turn:
            process = self._ready()
            try:
                send(_pipe(process.stdin), pickle.dumps(arguments, pickle.HIGHEST_PROTOCOL))
                replies = _pipe(process.stdout)
                if seconds is not None and not select.select([replies], [], [], seconds)[0]:
                    raise TimeoutError(f"no answer within {seconds:g} s")
                done, value = pickle.loads(receive(replies))
            except (EOFError, OSError) as error:
                self.kill()
                if isinstance(error, TimeoutError):
                    raise
                status = process.returncode
                raise ProcessDied(status) from None
            except BaseException:
                self.kill()
                raise
        if not done:
            raise value
        return value

    def start(self) -> None:
        """Start the process, and do not wait until it is ready."""
        main = threading.current_thread() is threading.main_thread()
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        self._process, self._owner, self._is_ready = process, os.getpid(), False
        # The signal of a parent's end comes when the *thread* that started the process ends.
        send(_pipe(process.stdin), pickle.dumps((sys.path, self._memory, main)))
        send(_pipe(process.stdin), pickle.dumps(self._work))

    def kill(self) -> None:
        """End the process, whatever it is doing; a call that waits for it gets ProcessDied."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):  # what was not flushed to a process that is gone
                _pipe(process.stdin).close()

    def _ready(self) -> "subprocess.Popen[bytes]":
        """The process, which has imported the function; the caller's alarm is off meanwhile."""
        process = self._process
        if process is not None and self._owner == os.getpid() and self._is_ready:
            return process
        main = threading.current_thread() is threading.main_thread()
        left, again = signal.setitimer(signal.ITIMER_REAL, 0) if main else (0.0, 0.0)
        try:
            if process is None or self._owner != os.getpid():  # after a fork: the parent's process
                self.start()
            process = self._process
            assert process is not None
            try:
                problem = pickle.loads(receive(_pipe(process.stdout)))
            except (EOFError, OSError):
                self.kill()
                raise ProcessDied(process.returncode) from None
        finally:
            if main:
                signal.setitimer(signal.ITIMER_REAL, left, again)
        if problem is not None:
            self.kill()
            raise problem
        self._is_ready = True
        return process


def serve() -> None:
    """The other end of a Worker: a function first, then a reply to each call until the input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a function prints must not stand among the replies
    with contextlib.suppress(EOFError, BrokenPipeError):
        path, memory, has_parent = pickle.loads(receive(source))
        if has_parent:
            end_with_parent(signal.SIGKILL)
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        sys.path[:] = path
        work = receive(source)
        try:
            function, prepare = pickle.loads(work)
            if prepare is not None:
                prepare()
        except Exception as error:  # noqa: BLE001 (raised again in the parent)
            send(target, _pickled(error.with_traceback(None)))
            return
        send(target, pickle.dumps(None))
        while True:
            arguments = pickle.loads(receive(source))
            try:
                answer = True, function(*arguments)
            except Exception as error:  # noqa: BLE001 (raised again in the parent)
                answer = False, error.with_traceback(None)
            send(target, _pickled(answer))


def _pickled(answer: Any) -> bytes:
    """The answer; where it cannot be pickled, the error that says so."""
    try:
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 (whatever a user's class raises)
        problem = RuntimeError(f"{answer!r:.200} cannot leave its process: {error}")
        return pickle.dumps((False, problem))


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
