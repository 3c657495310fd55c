"""What the commands that ask judges share: their clients, open as long as the command."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from qvl import client, stage
from qvl.client.cache import kept
from qvl.io import images
from qvl.judge import panel
from qvl.stage import Run


def clients(
    stack: contextlib.ExitStack,
    urls: Sequence[str],
    models: Sequence[str] | None,
    *,
    files: list[str] | None,
    output: str,
    resume: bool,
    cache: str | None,
    media_root: str | None,
    max_total_tokens: int | None,
    **options: Any,
) -> list[client.Client]:
    """A client a judge; `options` are those of a client. What they answer is kept beside an output
    that is a file until it is whole, so that a killed run pays for nothing twice."""
    return panel.opened(
        stack,
        urls,
        models or (),
        root=images.root_of(files, media_root),
        cache=stack.enter_context(kept(cache, output, resume=resume)),
        budget=client.Budget(max_total_tokens),
        **options,
    )


class Judged(Protocol):
    """What a judge is asked of records."""

    def begin(self, record: dict) -> stage.Pending: ...

    def counts(self, result: "dict | stage.Drop") -> tuple[int, int, str]: ...


def watched(run: Run, judged: Judged, concurrency: int, max_error_rate: float) -> Iterator[dict]:
    """The stream of what judges say; too many errors among it end it."""
    tolerance = panel.Tolerance(max_error_rate)

    def watch(result: "dict | stage.Drop") -> None:
        asked, wrong, example = judged.counts(result)
        tolerance.count(asked - wrong, wrong, example)

    return stage.begun(run, judged.begin, concurrency=concurrency, watch=watch)
