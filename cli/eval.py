import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl import client, stage
from qvl.errors import CheckFailed, UserError
from qvl.evaluate import answers, metrics
from qvl.media import images

from .options import (
    AllowRemote,
    Cache,
    Concurrency,
    Endpoint,
    Files,
    MaxTokens,
    MediaRoot,
    Model,
    OnError,
    Output,
    Plain,
    PresencePenalty,
    Rejects,
    Report,
    Resume,
    Retries,
    Seed,
    Shard,
    TimeoutSeconds,
    TopK,
    TopP,
)
from .session import session, write_report


def command(
    files: Files = None,
    output: Output = "-",
    endpoint: Endpoint = None,
    model: Model = None,
    num_samples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Answers a record, each with its own seed")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0, help="0 takes the likeliest token (our choice)")
    ] = 0.0,
    top_p: TopP = None,
    top_k: TopK = None,
    presence_penalty: PresencePenalty = None,
    max_tokens: MaxTokens = None,
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
    concurrency: Concurrency = client.CONCURRENCY,
    retries: Retries = client.RETRIES,
    timeout_seconds: TimeoutSeconds = client.TIMEOUT_SECONDS,
    cache: Cache = None,
    seed: Seed = 0,
    media_root: MediaRoot = None,
    allow_remote: AllowRemote = False,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    resume: Resume = False,
    plain: Plain = False,
    report: Report = None,
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
    sampling = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "presence_penalty": presence_penalty,
        "max_tokens": max_tokens,
    }
    asking = answers.EvaluationConfig(
        num_samples=num_samples, sampling=sampling, seed=seed, reward=reward
    )
    tally = metrics.Tally(by, reward)
    before = metrics.accuracies(read_file(baseline), str(baseline)) if baseline else None
    with (
        client.Client(
            endpoint or (),
            model,
            concurrency=concurrency,
            retries=retries,
            timeout_seconds=timeout_seconds,
            root=images.root_of(files, media_root),
            allow_remote=allow_remote,
            cache=cache,
        ) as asked,
        session(
            "eval",
            files,
            output,
            rejects=rejects,
            on_error=on_error,
            shard=shard,
            plain=plain,
            resume=resume,
            journal=True,
            seed=seed,
            config={"model": asked.model, "sampling": sampling, "reward": reward}
            | {"num_samples": num_samples},
            conserves=True,
        ) as run,
    ):
        scored = stage.each(
            run,
            lambda record: answers.evaluate(record, asked, asking, stop=on_error == "stop"),
            concurrency=concurrency,
        )
        run.write(tally.watch(scored))
        run.note(**asked.facts)
    rows = tally.rows()
    write_report({**run.account(), "groups": rows}, report)
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
