import contextlib
from typing import Annotated

import typer

from qvl import client, reward, stage
from qvl.client.cache import kept
from qvl.curate.selection import vision
from qvl.sampling import presets
from qvl.sampling.samples import SamplingConfig

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .groups import without
from .options import MaxErrorRate, ResumableStreamOptions, Seed


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
            help="Ask a text model here; repeat it for several servers",
        ),
    ] = None,
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
    max_error_rate: MaxErrorRate = stage.MAX_ERROR_RATE,
    seed: Seed = 0,
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
    asking = SamplingConfig(
        num_samples=num_samples,
        sampling=sampling.parameters(),
        seed=seed,
        thinking=presets.thinks(sampling.preset),
    )
    if verifier:
        reward.find(verifier)
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(
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
            client=asked, asking=asking, max_pass_rate=max_pass_rate, verifier=verifier
        )
        run = stack.enter_context(
            stream.run(
                "filter-vision",
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
        run.write(
            stage.submit_each(
                run, needs.submit, concurrency=requests.concurrency, watch=errors.watch
            )
        )
        run.note(**asked.facts, **({"errors": errors.errors} if errors.errors else {}))
