"""What the commands with --judge share: clients, prompts, and a limit on errors."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from qvl import client, stage
from qvl.client.cache import kept
from qvl.error_rate import ErrorRate
from qvl.judge import panel
from qvl.judge.prompt import Prompt
from qvl.pending import Pending
from qvl.stage import Run

from .endpoint_options import JudgeOptions, RequestOptions
from .options import MediaOptions, ResumableStreamOptions

Clients = Callable[[Sequence[str], Sequence[str] | None], list[client.Client]]


def opener(
    stack: contextlib.ExitStack,
    stream: ResumableStreamOptions,
    requests: RequestOptions,
    media: MediaOptions,
) -> Clients:
    """A function that opens a client for each model at some addresses; all share one budget.

    Without --cache, responses are kept beside an output file until it is complete, so that a run that
    was killed pays for nothing twice.
    """
    shared = {
        "root": media.root(stream.files),
        "allow_remote": media.allow_remote,
        "cache": stack.enter_context(kept(requests.cache, stream.output, resume=stream.resume)),
        "budget": client.Budget(requests.max_total_tokens),
    }
    return lambda urls, models: panel.open_clients(
        stack, urls, models or (), **shared, **requests.limits()
    )


def prompt(judges: JudgeOptions, name: str) -> Prompt:
    """The prompt of --judge-prompt, or the built-in one of that name."""
    return Prompt.file(judges.judge_prompt) if judges.judge_prompt else Prompt.named(name)


class Judged(Protocol):
    """What a judge is asked of records."""

    def submit(self, record: dict) -> Pending: ...

    def counts(self, result: "dict | stage.Drop") -> tuple[int, int, str]: ...


def watched(run: Run, judged: Judged, concurrency: int, max_error_rate: float) -> Iterator[dict]:
    """The judged records; CheckFailed where too many verdicts are errors (qvl.error_rate)."""
    rate = ErrorRate(max_error_rate)
    yield from stage.submit_each(
        run,
        judged.submit,
        concurrency=concurrency,
        watch=lambda result: rate.add(*judged.counts(result)),
    )
    rate.check()
    if rate.errors:
        run.note(without_verdict=rate.errors)
