from collections.abc import Iterator
from typing import Annotated

import typer

from qvl import stage
from qvl.curate.selection import rl_queries
from qvl.curate.selection.format_prompts import FormatPrompts
from qvl.curate.selection.rl_queries import QueryChoice
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.streams.expression import option

from ..groups import without
from ..options import KeepResponses, Seed, StreamOptions, Verifier

BATCH_SIZE = 256  # queries per step: our choice


def command(
    stream: Annotated[StreamOptions, without("shard")],
    policy: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Records with verified responses of the model to train"),
    ] = None,
    max_pass_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=1, help="With --policy, maximum share of responses that pass"
        ),
    ] = QueryChoice.max_pass_rate,
    all_wrong: Annotated[
        str,
        typer.Option(
            metavar="|".join(rl_queries.ALL_WRONG),
            help="Which queries of FILEs are rejected if no response passes",
        ),
    ] = QueryChoice.all_wrong,
    pass_reward: Annotated[
        float,
        typer.Option(metavar="X", help="Minimum reward of a response that passes (our choice)"),
    ] = QueryChoice.pass_reward,
    min_responses: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Minimum number of responses with a reward, where there are any",
        ),
    ] = QueryChoice.min_responses,
    potential: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Drop the sources that this output of qvl rl potential drops"
        ),
    ] = None,
    format_prompts: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Format prompts that replace the built-in ones: TASK.txt, TASK.zh.txt",
        ),
    ] = None,
    no_format_prompts: Annotated[
        bool, typer.Option("--no-format-prompts", help="Append no format prompt")
    ] = False,
    verifier: Verifier = None,
    general: Annotated[
        bool, typer.Option("--general", help="Keep tasks without a verifier, for a judge to reward")
    ] = False,
    keep_responses: KeepResponses = False,
    ratio: Annotated[
        str | None,
        typer.Option(metavar="TASK=N,...", help="Shuffle, and mix tasks in batches in this ratio"),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="With --ratio, queries per batch (our choice)"),
    ] = BATCH_SIZE,
    oversample: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="With --ratio, repeat a task that runs out, up to N times"
        ),
    ] = 0,
    seed: Seed = 0,
) -> None:
    """Prepare the queries of reinforcement learning, using what was sampled for them.

    Reads records and does what their fields allow; run it again when more is known. It follows the
    Qwen3-VL report, 4.4.1, where not said otherwise.

    For any record: it is rejected if no verifier can judge it (no-verifier, unverifiable). Otherwise the
    format prompt of its task is appended to the last user turn, once, and kept as `format_prompt`.
    Prepare first and sample afterwards; the summary warns of responses that were sampled without the
    prompt, with their number.

    With responses of a strong model (16, verified): a multimodal query that all get wrong is rejected
    (all-wrong). With --policy, the same records with responses of the model to train (16, verified): a
    query that over 90 % get right is rejected (too-easy), and so is a query that it lacks (not-sampled).
    Where there are responses, --min-responses must have a reward (not-judged). The counts are in
    scores["rl-prepare"].strong and .policy; the responses themselves are removed.

    With --ratio, the rest is shuffled by --seed, and every --batch-size consecutive records hold the same
    number of each task, by largest remainder. Where a task runs out, the output ends with the last full
    batch. The remaining records go to --rejects as over-ratio, those of a task without a share as
    no-bucket. --oversample works as in qvl mix.

    Examples:
        $ qvl rl prepare records.jsonl.zst --rejects unfit.jsonl.zst -o queries.jsonl.zst
        $ qvl verify sampled.jsonl.zst | qvl rl prepare --all-wrong any | zstdcat
        $ qvl verify sampled.jsonl.zst -o now.zst && qvl rl prepare --policy now.zst now.zst | zstdcat
        $ qvl rl prepare --ratio math=1,ocr=1 --batch-size 2 records.jsonl.zst -o batches.jsonl.zst
    """
    from qvl.curate.selection.potential import dropped

    if policy == "-" and "-" in (stream.files or ["-"]):
        raise UserError("--policy -: standard input is already read for FILE")
    if no_format_prompts and format_prompts:
        raise UserError("--format-prompts and --no-format-prompts exclude each other")
    if oversample and not ratio:
        raise UserError("--oversample needs --ratio")
    prompts = None if no_format_prompts else FormatPrompts(format_prompts)
    beside = {path: jsonl.Reader(path) for path in (policy, potential) if path}
    choice = QueryChoice(
        prompts=prompts,
        policy=rl_queries.sampled(beside[policy], pass_reward) if policy else None,
        all_wrong=all_wrong,
        max_pass_rate=max_pass_rate,
        pass_reward=pass_reward,
        min_responses=min_responses,
        drop_sources=dropped(beside[potential]) if potential else frozenset(),
        verifier=verifier,
        general=general,
        keep_responses=keep_responses,
    )
    config = vars(choice) | {
        "prompts": prompts.identity if prompts else None,
        "policy": policy,
        "drop_sources": sorted(choice.drop_sources),
        "by": "task",
    }
    if ratio:
        config |= {"ratio": ratio, "batch_size": batch_size, "oversample": oversample}
    with stream.run(
        "rl prepare",
        seed=seed if ratio else None,
        sound=True,
        conserves=not oversample,
        config=config,
    ) as run:
        chosen = rl_queries.prepared(run, choice)
        if ratio:
            run.write_lines(_batches(run, chosen, ratio, batch_size, oversample, seed))
        else:
            run.write(chosen)
        run.reader.sources += [source for reader in beside.values() for source in reader.sources]


def _batches(
    run: stage.Run, chosen: Iterator[dict], ratio: str, size: int, repeats: int, seed: int
) -> Iterator[bytes]:
    from qvl.io.lines import as_read
    from qvl.streams.mix import mix  # random and fractions are 20 ms of start-up
    from qvl.streams.shuffle import BUFFER_MIB, shuffled

    records = map(as_read, shuffled(chosen, seed, BUFFER_MIB))
    return mix(run, option("--by", "task"), ratio, seed, repeats, batch=size, records=records)
