"""What the commands that ask judges share: their clients, open as long as the command."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from qvl import client, stage
from qvl.client.cache import kept
from qvl.judge import panel
from qvl.media import images
from qvl.pending import Pending
from qvl.stage import Run

Clients = Callable[[Sequence[str], Sequence[str] | None], list[client.Client]]


def opener(
    stack: contextlib.ExitStack,
    *,
    files: list[str] | None,
    output: str,
    resume: bool,
    cache: str | None,
    media_root: str | None,
    max_total_tokens: int | None,
    **options: Any,
) -> Clients:
    """What opens a client for each model at some addresses; all share one budget. `options` are
    those of a client. What they answer is kept beside an output that is a file until it is whole, so
    that a killed run pays for nothing twice."""
    shared = {
        "root": images.root_of(files, media_root),
        "cache": stack.enter_context(kept(cache, output, resume=resume)),
        "budget": client.Budget(max_total_tokens),
    }
    return lambda urls, models: panel.opened(stack, urls, models or (), **shared, **options)


class Judged(Protocol):
    """What a judge is asked of records."""

    def submit(self, record: dict) -> Pending: ...

    def counts(self, result: "dict | stage.Drop") -> tuple[int, int, str]: ...


def watched(run: Run, judged: Judged, concurrency: int, max_error_rate: float) -> Iterator[dict]:
    """The stream of what judges say; too many errors among it end it."""
    tolerance = panel.Tolerance(max_error_rate)

    def watch(result: "dict | stage.Drop") -> None:
        asked, wrong, example = judged.counts(result)
        tolerance.count(asked - wrong, wrong, example)

    return stage.submit_each(run, judged.submit, concurrency=concurrency, watch=watch)
