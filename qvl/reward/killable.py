"""A function in a process of its own, which is ended when a call takes too long.

For what an alarm cannot interrupt: C code, as that of large integers or of a computer algebra system.
"""

import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import threading
from importlib import import_module
from typing import IO, Any

from qvl.errors import UserError
from qvl.processes import end_with_parent, receive, send

MEMORY_BYTES = 4 << 30  # of address space: our choice; a power of a power asks for more


class Killable:
    """`where` is "module:function". The process is started by the first call and serves many.

    memory: of its address space, in bytes; None: as much as there is.
    """

    def __init__(self, where: str, *, memory: int | None = MEMORY_BYTES) -> None:
        self.where, self.memory = where, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def __call__(self, seconds: float, *arguments: Any) -> Any:
        """What the function returns, or the error that it raises. TimeoutError after `seconds`.

        Whatever else ends the wait, as an alarm of the caller's, ends the process too. Threads take
        turns.
        """
        with self._turn:
            return self._answer(seconds, arguments)

    def _answer(self, seconds: float, arguments: tuple) -> Any:
        process = self._ready()
        try:
            send(_pipe(process.stdin), pickle.dumps(arguments))
            if not select.select([_pipe(process.stdout)], [], [], seconds)[0]:
                raise TimeoutError(f"no answer within {seconds:g} s")
            done, value = pickle.loads(receive(_pipe(process.stdout)))
        except (EOFError, BrokenPipeError):
            status = process.wait()
            self._process = None
            raise MemoryError(f"its process ended with status {status}") from None
        except BaseException:
            process.kill()
            process.wait()
            self._process = None
            raise
        if not done:
            raise value
        return value

    def _ready(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # a fork's: the pipes are its parent's
        if self._process is None:
            self._process, self._owner = self._start(), os.getpid()
        return self._process

    def _start(self) -> "subprocess.Popen[bytes]":
        """A process that has imported the function; the caller's alarm does not count meanwhile."""
        main = threading.current_thread() is threading.main_thread()
        left, again = signal.setitimer(signal.ITIMER_REAL, 0) if main else (0.0, 0.0)
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,  # Ctrl-C reaches the command, and the command ends it
            )
            send(_pipe(process.stdin), pickle.dumps((sys.path, self.where, self.memory)))
            problem = pickle.loads(receive(_pipe(process.stdout)))
        finally:
            if main:
                signal.setitimer(signal.ITIMER_REAL, left, again)
        if problem is not None:
            process.kill()
            process.wait()
            raise problem
        return process


def serve() -> None:
    """The other end: the function's place, then an answer to each call until the input ends."""
    end_with_parent(signal.SIGKILL)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a function prints must not stand among the answers
    path, where, memory = pickle.loads(receive(source))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sys.path[:] = path
    module, _, name = where.partition(":")
    try:
        function = getattr(import_module(module), name)
        getattr(import_module(module), "prepare", lambda: None)()
    except UserError as error:
        send(target, pickle.dumps(error))
        return
    send(target, pickle.dumps(None))
    while True:
        try:
            arguments = pickle.loads(receive(source))
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:  # noqa: BLE001 - raised again where it was asked
            answer = False, error.with_traceback(None)
        send(target, pickle.dumps(answer))


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end
