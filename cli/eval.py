import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl import client, stage
from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import CheckFailed, UserError
from qvl.evaluate import answers, metrics
from qvl.reward import time_limit
from qvl.reward.verify import Totals
from qvl.sampling import samples

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .groups import without
from .options import (
    FormerReward,
    MaxErrorRate,
    MediaOptions,
    ResumableStreamOptions,
    Seed,
    Verifier,
)
from .session import write_report


def command(
    sampling: Annotated[SamplingOptions, without("preset", "temperature")],
    endpoint: EndpointOptions,
    requests: Annotated[RequestOptions, without("max_total_tokens")],
    media: MediaOptions,
    stream: ResumableStreamOptions,
    num_samples: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Number of responses per record, each with its own seed"
        ),
    ] = 1,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="X", min=0, help="Sampling temperature, 0 for greedy decoding (our choice)"
        ),
    ] = 0.0,
    verifier: Verifier = None,
    reward: FormerReward = None,
    verdict_seconds: Annotated[
        float,
        typer.Option(metavar="X", min=0.001, help="Maximum seconds per verdict (our choice)"),
    ] = time_limit.VERDICT_SECONDS,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    by: Annotated[
        str, typer.Option(metavar="FIELD", help="Group the summary by this field")
    ] = "source",
    min_: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="GROUP=X",
            help="Exit with status 3 below this accuracy; repeatable; 'all' is a group",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also show the accuracies of this earlier --report"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Evaluate an endpoint on held-out questions.

    Reads records that end in the user's turn and hold an answer; the task names the verifier, or
    --verifier (once --reward) does for all records. Writes each with its responses and, on each, reward,
    rewards and verdict, as qvl verify does: a verifier that crashes or takes longer than --verdict-seconds
    gives no reward, and too many such responses are status 3. A table on standard error shows, per group,
    the accuracy of the responses that have a reward with its 95 % Wilson interval over records, the
    accuracy of the best single guess, the mean number of tokens, and the number of truncated responses.
    Boxes are right from IoU 0.5 on. A record that cannot be requested or judged is an error, or goes to
    --rejects with --on-error reject.

    The report's settings:

      Instruct         --temperature 0.7 --top-p 0.8 --top-k 20 --presence-penalty 1.5
      Thinking (MoE)   --temperature 0.6 --top-p 0.95 --top-k 20
      both             --max-tokens 32768, for AIME-25 and the like 81920

    Examples:
        $ qvl serve twin --port 0 -- qvl eval --by task --max-tokens 4 test.jsonl.zst | zstdcat
    """
    minima = [metrics.parse_minimum(text) for text in min_ or []]
    parameters = {"temperature": temperature, **sampling.parameters()}
    config = samples.SamplingConfig(num_samples=num_samples, sampling=parameters, seed=seed)
    tally = metrics.Tally(by, verifier)
    before = metrics.accuracies(read_file(baseline), str(baseline)) if baseline else None
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
    rows = tally.rows()
    write_report({**run.account(), "groups": rows}, stream.report)
    for line in metrics.table(rows, before):
        print(line, file=sys.stderr)
    missed = metrics.shortfalls(rows, minima)
    if missed:
        raise CheckFailed("; ".join(missed))


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
