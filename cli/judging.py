"""What the commands that ask judges share: their clients, open as long as the command."""

import contextlib
from collections.abc import Sequence
from typing import Any

from qvl import client
from qvl.client.cache import kept
from qvl.errors import UserError
from qvl.io import images
from qvl.judge import panel


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


def bound(word: str) -> tuple[str, float]:
    """A word of --min: AXIS=X."""
    axis, equals, value = word.partition("=")
    try:
        if equals:
            return axis, float(value)
    except ValueError as error:
        raise UserError(f"--min {word}: {error}") from None
    raise UserError(f"--min {word}: say AXIS=X, such as complexity=2")
