from typing import Annotated

import typer

from qvl import client, stage
from qvl.error_rate import MAX_ERROR_RATE
from qvl.evaluate import answers
from qvl.reward import time_limit
from qvl.reward.verify import Totals
from qvl.sampling import samples

from ..endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from ..groups import without
from ..options import (
    FormerReward,
    MaxErrorRate,
    MediaOptions,
    ResumableStreamOptions,
    Seed,
    VerdictSeconds,
    Verifier,
)
from .table import TableOptions


def command(
    sampling: Annotated[SamplingOptions, without("temperature")],
    endpoint: EndpointOptions,
    requests: Annotated[RequestOptions, without("max_total_tokens")],
    media: MediaOptions,
    stream: ResumableStreamOptions,
    table: TableOptions,
    num_samples: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Number of responses per record, each with its own seed"
        ),
    ] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            help="Sampling temperature; by default that of --preset, else 0: greedy decoding (our choice)",
        ),
    ] = None,
    verifier: Verifier = None,
    reward: FormerReward = None,
    verdict_seconds: VerdictSeconds = time_limit.VERDICT_SECONDS,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
) -> None:
    """Evaluate an endpoint on held-out questions.

    Reads records with a question and an answer; a final assistant turn is not sent. The task of a record
    names its verifier; --verifier (once --reward) names one for all records. Writes each record with its
    responses, and with the reward, the rewards and the verdict of each response, as qvl verify does. A
    verifier that crashes or takes longer than --verdict-seconds gives no reward; if a larger share than
    --max-error-rate has none, the status is 3. A record that cannot be requested or judged is an error,
    or goes to --rejects with --on-error reject.

    A table on standard error has a line per group (--by): the accuracy of the responses that have a
    reward, with its 95 % Wilson interval over records; the accuracy of guessing, with the same best answer
    to every question; the mean number of tokens; and the number of truncated responses. A response is
    right from a reward of 0.5 on: a box of IoU 0.5, or text (ocr) more than half of which is right.
    Several samples per record give avg@k, and --pass-at K the chance that one of K is right. For a
    benchmark (qvl eval load), the accuracy is the benchmark's own metric, and a line below the table has
    its other figures.

    --preset uses the sampling settings of the Qwen3-VL report, with at most 32,768 tokens; for AIME-25
    and the like the report allows more: --max-tokens 81920.

    An evaluation has three steps: answers, extraction and scores. qvl eval does all three. On stored
    answers, qvl eval extract and qvl eval score repeat the last two in seconds; qvl generate does the
    first alone. qvl eval compare tests whether two runs differ, qvl eval summary puts several side by
    side. --report holds what made the numbers: the engine, its version and the limits of its images'
    pixels, the model, the sampling and the hash of the prompt.

    Examples:
        $ qvl serve twin --port 0 -- qvl eval --by task --max-tokens 4 test.jsonl.zst | zstdcat
    """
    if temperature is None and not sampling.preset:
        temperature = 0.0
    given = {"temperature": temperature} if temperature is not None else {}
    parameters = {**sampling.parameters(), **given}
    config = samples.SamplingConfig(num_samples=num_samples, sampling=parameters, seed=seed)
    tally = table.tally(verifier)
    with (
        client.Client(
            endpoint.endpoint or (),
            endpoint.model,
            **requests.limits(),
            root=media.root(stream.files),
            allow_remote=media.allow_remote,
            cache=requests.cache,
        ) as connected,
        stream.run(
            "eval",
            report=None,
            seed=seed,
            config={"model": connected.model, "sampling": parameters, "verifier": verifier}
            | {"num_samples": num_samples, "verdict_seconds": verdict_seconds},
            conserves=True,
        ) as run,
    ):
        evaluator = answers.Evaluator(
            client=connected,
            config=config,
            verifier=verifier,
            seconds=verdict_seconds,
            stop=stream.on_error == "stop",
        )
        judged = stage.submit_each(run, evaluator.submit, concurrency=requests.concurrency)
        run.write(tally.watch(Totals(max_error_rate).watch(judged, run.note)))
        run.note(**connected.facts)
        made_by = {}
        if stream.report:
            from qvl.evaluate import provenance

            made_by["servers"] = provenance.of([each.url for each in connected.endpoints])
    table.end(run, tally, stream.report, **made_by)
