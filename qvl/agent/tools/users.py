"""A user's own tool: a function in processes that are killed when a call hangs."""

import functools
import queue
from pathlib import Path
from typing import Any

from qvl.agent import tools
from qvl.agent.tools import Context, ToolError, ToolSettings
from qvl.agent.tools.observation import bounded
from qvl.agent.tools.pictures import Pictures
from qvl.processes import ProcessDied, Worker

KEPT_BYTES = 128 << 20  # of decoded images, per process: our choice


class UsersTool:
    """A `qvl.agent.tools.Call`, used as a context. Threads wait for a process that is idle."""

    def __init__(self, name: str, settings: ToolSettings) -> None:
        self._name, self._seconds = name, settings.seconds
        prepare = functools.partial(tools.find, name)
        self._all = [Worker(answer, prepare=prepare) for _ in range(settings.jobs)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for each in self._all:
            self._idle.put(each)

    def __enter__(self) -> "UsersTool":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._all:
            each.kill()

    def __call__(self, arguments: dict[str, Any], context: Context) -> Any:
        where = str(context.pictures.root), context.pictures.allow_remote
        worker = self._idle.get()
        try:
            return worker(
                self._seconds, self._name, arguments, list(context.images), where, context.settings
            )
        except TimeoutError:
            raise ToolError(f"Tool Execution Error no result within {self._seconds:g} s") from None
        except ProcessDied as died:
            raise ToolError(f"Tool Execution Error {died}") from None
        finally:
            self._idle.put(worker)


def answer(
    name: str,
    arguments: dict[str, Any],
    images: list[str],
    where: tuple[str, bool],
    settings: ToolSettings,
) -> Any:
    """What a user's function returns. Runs in a separate process."""
    _, call = tools.find(name)
    return bounded(call(arguments, Context(images, _pictures(*where), settings)))


@functools.cache
def _pictures(root: str, allow_remote: bool) -> Pictures:
    return Pictures(Path(root), allow_remote=allow_remote, kept_bytes=KEPT_BYTES)
