import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl import client, stage
from qvl.errors import CheckFailed, UserError
from qvl.evaluate import answers, metrics

from .endpoint_options import EndpointOptions, RequestOptions, SamplingOptions
from .groups import without
from .options import MediaOptions, ResumableStreamOptions, Seed
from .session import write_report


def command(
    sampling: Annotated[SamplingOptions, without("preset", "temperature")],
    endpoint: EndpointOptions,
    requests: Annotated[RequestOptions, without("max_total_tokens")],
    media: MediaOptions,
    stream: ResumableStreamOptions,
    num_samples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Answers a record, each with its own seed")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0, help="0 takes the likeliest token (our choice)")
    ] = 0.0,
    reward: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge all by this verifier or MODULE:FUNCTION"),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="FIELD", help="Group the summary by this field")
    ] = "source",
    min_: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="GROUP=X", help="Fail under this accuracy; 'all' is a group"),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show the accuracies of this earlier --report beside"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Ask an endpoint held-out questions and score its answers.

    Reads records that end in the user's turn and hold an answer; the task names the verifier.
    Writes each with its responses, scored. A table on standard error tells, by group, the accuracy
    with its 95 % Wilson interval over records, what the best single guess for all would get, the
    mean tokens and the answers that were cut. Boxes count as right from IoU 0.5 on. A record that
    cannot be asked or judged is an error, or goes to --rejects with --on-error reject. The
    report's settings: Instruct at temperature 0.7, top-p 0.8, top-k 20, presence penalty 1.5;
    Thinking (MoE) at 0.6, 0.95, 20; at most 32,768 tokens, 81,920 for AIME-25 and the like.

    \b
    Examples:
        $ qvl serve twin --port 0 -- qvl eval --by task --max-tokens 4 test.jsonl.zst | zstdcat
    """
    minima = [metrics.parse_minimum(text) for text in min_ or []]
    parameters = {"temperature": temperature, **sampling.parameters()}
    asking = answers.EvaluationConfig(
        num_samples=num_samples, sampling=parameters, seed=seed, reward=reward
    )
    tally = metrics.Tally(by, reward)
    before = metrics.accuracies(read_file(baseline), str(baseline)) if baseline else None
    with (
        client.Client(
            endpoint.endpoint or (),
            endpoint.model,
            **requests.limits(),
            root=media.root(stream.files),
            allow_remote=media.allow_remote,
            cache=requests.cache,
        ) as asked,
        stream.run(
            "eval",
            report=None,
            seed=seed,
            config={"model": asked.model, "sampling": parameters, "reward": reward}
            | {"num_samples": num_samples},
            conserves=True,
        ) as run,
    ):
        scored = stage.each(
            run,
            lambda record: answers.evaluate(record, asked, asking, stop=stream.on_error == "stop"),
            concurrency=requests.concurrency,
        )
        run.write(tally.watch(scored))
        run.note(**asked.facts)
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
