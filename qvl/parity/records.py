"""The stage of `qvl parity`: records in, records with the differences of two sides out."""

from collections.abc import Iterator

from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.pack.token_classes import classes
from qvl.parity import compare
from qvl.parity.compare import Differences
from qvl.parity.engine import RunningEngine
from qvl.parity.huggingface import HuggingFace
from qvl.parity.megatron import Megatron
from qvl.record import prompt, with_scores
from qvl.stage import Drop, Run

BATCH = 1024  # records per start of the ranks


def compared(
    run: Run, theirs: HuggingFace, ours: Megatron, render: Renderer, totals: Differences
) -> Iterator[dict]:
    """Yield the records with scores["parity"], and add to `totals`. render: for our side."""
    special = theirs.special
    for batch in _batches(run, render):
        for (record, sample), logprobs in zip(
            batch, ours(sample for _, sample in batch), strict=True
        ):
            ids, expected = theirs(record)
            name, kinds = record["id"], classes(ids, special)
            row = totals.compare_ids(name, sample.ids, ids)
            yield with_scores(
                record, "parity", row or totals.add(name, kinds, logprobs, expected.tolist())
            )


def compared_with_engine(
    run: Run, theirs: HuggingFace, engine: RunningEngine, totals: Differences
) -> Iterator[dict]:
    """Yield the records with scores["parity"] against a running engine, and add to `totals`."""
    special = theirs.special
    for record in run:
        completion = engine.chat(record)
        if isinstance(completion, Drop):
            run.reject(record, completion.reason, completion.detail)
            continue
        tools = record.get("tools")
        prompt_ids, media = theirs.inputs(prompt(record), tools)
        name = record["id"]
        row = totals.compare_ids(name, completion.prompt_ids, prompt_ids[0].tolist())
        if not row:
            ids, expected = theirs(record)
            score = engine.score(record, theirs.prompt(record["messages"], tools))
            row = totals.compare_ids(name, score.prompt_ids, ids)
        if not row:
            kinds = [*classes(ids, special), compare.NEXT]
            ours = [*score.logprobs[1:], completion.logprob]
            next_one = theirs.next_logprobs(prompt_ids, media)[completion.token].item()
            tokens = zip(kinds, ours, [*expected.tolist(), next_one], strict=True)
            # Engines do not report the tokens of images and videos.
            reported = [each for each in tokens if each[1] is not None]
            row = totals.add(name, *map(list, zip(*reported, strict=True)))
        yield with_scores(record, "parity", row)


def _batches(run: Run, render: Renderer) -> Iterator[list[tuple[dict, Sample]]]:
    batch: list[tuple[dict, Sample]] = []
    for record in run:
        sample = render.all_targets(record)
        if isinstance(sample, Drop):
            run.reject(record, sample.reason, sample.detail)
            continue
        batch.append((record, sample))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
