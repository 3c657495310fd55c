"""The stream of `qvl parity`: records in, records with the differences of two sides out."""

from collections.abc import Iterator
from typing import Any

from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.parity import compare
from qvl.parity.compare import Totals
from qvl.parity.engine import Served, asked
from qvl.parity.huggingface import HuggingFace
from qvl.parity.megatron import Megatron
from qvl.stage import Drop, Run

BATCH = 1024  # records that wait for the ranks at once, which start anew for each such batch


def compared(
    run: Run, theirs: HuggingFace, ours: Megatron, render: Renderer, totals: Totals
) -> Iterator[dict]:
    """The records with scores["parity"]; `totals` learns what they show. render: for our side."""
    special = theirs.special
    for batch in _batches(run, render):
        for (record, sample), spoken in zip(
            batch, ours(sample for _, sample in batch), strict=True
        ):
            ids, expected = theirs(record)
            parted = compare.first_difference(sample.ids, ids)
            if parted:
                totals.differ(record["id"], parted)
                row = {"ids": parted}
            else:
                row = totals.add(
                    record["id"], compare.kinds(ids, special), spoken, expected.tolist()
                )
            scores = {**(record.get("scores") or {}), "parity": row}
            yield {**record, "scores": scores}


def served(run: Run, theirs: HuggingFace, engine: Served, totals: Totals) -> Iterator[dict]:
    """The records with scores["parity"], against a running engine."""
    special = theirs.special
    for record in run:
        said = engine.chat(record)
        if isinstance(said, Drop):
            run.reject(record, said.reason, said.detail)
            continue
        tools = record.get("tools")
        prompt, seen = theirs.inputs(asked(record), tools)
        parted = compare.first_difference(said.prompt_ids, prompt[0].tolist())
        if not parted:
            ids, expected = theirs(record)
            score = engine.score(record, theirs.prompt(record["messages"], tools))
            parted = compare.first_difference(score.prompt_ids, ids)
        if parted:
            totals.differ(record["id"], parted)
            row: dict[str, Any] = {"ids": parted}
        else:
            kinds = [*compare.kinds(ids, special), compare.SAID]
            ours = [*score.logprobs[1:], said.logprob]
            next_one = theirs.next_logprobs(prompt, seen)[said.token].item()
            both = zip(kinds, ours, [*expected.tolist(), next_one], strict=True)
            # Of the tokens of images and videos an engine says nothing.
            told = [each for each in both if each[1] is not None]
            row = totals.add(record["id"], *map(list, zip(*told, strict=True)))
        yield {**record, "scores": {**(record.get("scores") or {}), "parity": row}}


def _batches(run: Run, render: Renderer) -> Iterator[list[tuple[dict, Sample]]]:
    batch: list[tuple[dict, Sample]] = []
    for record in run:
        sample = render.whole(record)
        if isinstance(sample, Drop):
            run.reject(record, sample.reason, sample.detail)
            continue
        batch.append((record, sample))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
