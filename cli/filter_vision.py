import contextlib
from typing import Annotated

import typer

from qvl import client
from qvl.client.cache import kept
from qvl.curate.selection import vision
from qvl.error_rate import MAX_ERROR_RATE
from qvl.sampling import presets
from qvl.sampling.samples import SamplingConfig

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .groups import without
from .options import MaxErrorRate, ResumableStreamOptions, Seed, Verifier


def command(
    sampling: SamplingOptions,
    endpoint: Annotated[EndpointOptions, without("endpoint")],
    requests: RequestOptions,
    stream: ResumableStreamOptions,
    text_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            envvar="QVL_TEXT_ENDPOINT",
            help="Server of a text model; repeat it to spread requests over several",
        ),
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n",
            "--num-samples",
            metavar="N",
            min=1,
            help="Maximum number of responses per record (our choice)",
        ),
    ] = vision.NUM_SAMPLES,
    max_pass_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=1, help="Drop a question if more responses pass (our choice)"
        ),
    ] = vision.MAX_PASS_RATE,
    verifier: Verifier = None,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
) -> None:
    """Drop questions that a model solves without their image.

    Reads records with a task and an answer. A text model gets those with images or videos without their
    media, and the task's verifier judges its answers: first half of the samples, the others only if the
    result is still open. Adds scores["filter-vision"]: asked, passed, pass_rate and the ends of its 95 %
    Wilson interval. Dropped records go to --rejects as solved-blind, not-verifiable, not-judged or
    refused. A verifier that crashes or times out counts as an error, not as a failed answer. Records
    without media, and those whose question is the image alone, pass unchanged.

    The report does this for the mathematics of the cold start, with a 30B model without thinking. It
    publishes neither the number of samples nor the pass rate of a solved question.

    Examples:
        $ qvl serve twin --port 0 -- qvl filter-vision --text-endpoint {endpoint} --max-tokens 4 test.jsonl.zst | zstdcat
    """
    config = SamplingConfig(
        num_samples=num_samples,
        sampling=sampling.parameters(),
        seed=seed,
        thinking=presets.thinks(sampling.preset),
    )
    from . import judging  # only a run needs it, and it is slow to import

    with contextlib.ExitStack() as stack:
        connected = stack.enter_context(
            client.Client(
                text_endpoint or (),
                endpoint.model,
                **requests.limits(),
                cache=stack.enter_context(
                    kept(requests.cache, stream.output, resume=stream.resume)
                ),
                budget=client.Budget(requests.max_total_tokens),
            )
        )
        needs = vision.NeedsVision(
            client=connected, config=config, max_pass_rate=max_pass_rate, verifier=verifier
        )
        run = stack.enter_context(
            stream.run(
                "filter-vision",
                seed=seed,
                sound=True,
                conserves=True,
                config={
                    "model": connected.model,
                    "sampling": config.sampling,
                    "num_samples": num_samples,
                    "max_pass_rate": max_pass_rate,
                    "verifier": verifier,
                },
            )
        )
        run.write(judging.watched(run, needs, requests.concurrency, max_error_rate))
        run.note(**connected.facts)
