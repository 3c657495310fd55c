import contextlib
from typing import Annotated

import typer

from qvl import client, reward, stage
from qvl.client.cache import kept
from qvl.curate.selection import vision
from qvl.sampling import presets
from qvl.sampling.samples import SamplingConfig

from .options import (
    Cache,
    Concurrency,
    Files,
    MaxErrorRate,
    MaxTokens,
    MaxTotalTokens,
    Model,
    OnError,
    Output,
    Plain,
    Rejects,
    Report,
    Resume,
    Retries,
    Seed,
    Shard,
    TimeoutSeconds,
)
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    text_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            envvar="QVL_TEXT_ENDPOINT",
            help="Ask a text model here; repeat it for several servers",
        ),
    ] = None,
    model: Model = None,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Answers at most (our choice)"
        ),
    ] = vision.NUM_SAMPLES,
    max_pass_rate: Annotated[
        float,
        typer.Option(metavar="RATE", min=0, max=1, help="Drop where more pass (our choice)"),
    ] = vision.MAX_PASS_RATE,
    verifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge all by this verifier or MODULE:FUNCTION"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(presets.PRESETS), help="Sample as the report does; flags override"
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="0 takes the likeliest token; else the server's"),
    ] = None,
    max_tokens: MaxTokens = None,
    max_total_tokens: MaxTotalTokens = None,
    max_error_rate: MaxErrorRate = stage.MAX_ERROR_RATE,
    concurrency: Concurrency = client.CONCURRENCY,
    retries: Retries = client.RETRIES,
    timeout_seconds: TimeoutSeconds = client.TIMEOUT_SECONDS,
    cache: Cache = None,
    seed: Seed = 0,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    resume: Resume = False,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Drop questions that a model solves without their image.

    Reads records with a task and an answer. Those with images or videos are put to a text model
    without them, and its answers judged by the verifier of the task: half of the samples first, the
    others only where those do not settle it. Adds scores["filter-vision"]: asked, passed, pass_rate
    and the ends of its 95 % Wilson interval. The rest goes to --rejects as solved-blind,
    not-verifiable, not-judged or refused. A verifier that crashes or runs out of time is counted as
    an error and not as an answer that did not pass. Records without media, and those whose question is the image alone,
    pass as they are.

    The report does so for the cold start's mathematics, with a 30B model that does not think; how
    often it was asked, and which rate counts as solved, is not published.

    \b
    Examples:
        $ qvl serve twin --port 0 -- qvl filter-vision --text-endpoint {endpoint} --max-tokens 4 test.jsonl.zst | zstdcat
    """
    given = {"temperature": temperature, "max_tokens": max_tokens}
    asking = SamplingConfig(
        num_samples=num_samples,
        sampling=presets.sampling(preset, given),
        seed=seed,
        thinking=presets.thinks(preset),
    )
    if verifier:
        reward.find(verifier)
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(
            client.Client(
                text_endpoint or (),
                model,
                concurrency=concurrency,
                retries=retries,
                timeout_seconds=timeout_seconds,
                cache=stack.enter_context(kept(cache, output, resume=resume)),
                budget=client.Budget(max_total_tokens),
            )
        )
        needs = vision.NeedsVision(
            client=asked, asking=asking, max_pass_rate=max_pass_rate, verifier=verifier
        )
        run = stack.enter_context(
            session(
                "filter-vision",
                files,
                output,
                rejects=rejects,
                on_error=on_error,
                shard=shard,
                plain=plain,
                report=report,
                resume=resume,
                journal=True,
                seed=seed,
                sound=True,
                conserves=True,
                config={
                    "model": asked.model,
                    "sampling": asking.sampling,
                    "num_samples": num_samples,
                    "max_pass_rate": max_pass_rate,
                    "verifier": verifier,
                },
            )
        )
        errors = vision.Errors(max_error_rate)
        run.write(stage.submit_each(run, needs.submit, concurrency=concurrency, watch=errors.watch))
        run.note(**asked.facts, **({"errors": errors.errors} if errors.errors else {}))
