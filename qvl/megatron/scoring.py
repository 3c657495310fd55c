"""Log-probs of given tokens for many micro-batches at any layout, without gradient.

Shapes: R target tokens of a record, K tokens per target.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from qvl.megatron import parallel, schedule
from qvl.megatron.output import Output
from qvl.megatron.qwen3vl import LocalModel
from qvl.model.batch import Batch

Values = dict[str, Tensor]  # by field of Scores, of all target tokens of a micro-batch


@dataclass(frozen=True)
class Scores:
    """What a model says of the target tokens of one record."""

    log_probs: Tensor
    """(R,), or (R, K) where a column gave K tokens per target."""
    entropy: Tensor | None = None
    """(R,) in nats."""
    top_log_probs: Tensor | None = None
    """(R, K), best first."""
    top_ids: Tensor | None = None
    """(R, K)"""


def score(
    model: LocalModel,
    batches: Iterable[Batch],
    count: int,
    *,
    column: str | None = None,
    temperature: float = 1.0,
    entropy: bool = False,
    top_k: int = 0,
) -> list[Scores]:
    """The scores of each record of `count` micro-batches, in their order, on every rank of a model.

    Each data-parallel rank scores micro-batches of its own, all the same number of them. column: the
    name of the column of token ids to score, in place of the target tokens. temperature: logits are
    divided by it. A trainer that overlaps messages must `wait_for_parameters` before.
    """
    total, noted = _total(model, count), list[Batch]()

    def read(output: Output) -> tuple[Tensor, Values]:
        ids = None if column is None else output.batch.columns[column]
        if entropy:
            log_probs, entropies = output.log_probs_and_entropy(ids, temperature=temperature)
            values = {"log_probs": log_probs, "entropy": entropies}
        else:
            values = {"log_probs": output.log_probs(ids, temperature=temperature)}
        if top_k:
            best = output.top_k(top_k, temperature=temperature)
            values |= {"top_log_probs": best[0], "top_ids": best[1]}
        whole = {name: output.whole(each) for name, each in values.items()}
        return output.hidden.new_zeros(()), whole

    found = _run(model, _repeated(batches, total, noted), total, read)
    scores: list[Scores] = []
    for batch, values in zip(noted[:count], found[:count] or [None] * count, strict=True):
        if values is None:  # not the last pipeline stage
            values = _empty(batch, column, entropy=entropy, top_k=top_k)
        for each in values.values():
            parallel.broadcast_from_last_stage(each)
        counts = batch.num_targets.tolist()
        parts = {name: each.split(counts) for name, each in values.items()}
        scores += [Scores(**{name: parts[name][i] for name in parts}) for i in range(len(counts))]
    return scores


def hidden_states(
    model: LocalModel, batches: Iterable[Batch], count: int
) -> tuple[list[Tensor], Tensor | None]:
    """The hidden states of all target tokens of each of `count` micro-batches, (R, D) in memory of the
    host, and this rank's rows of the head; [] and None on ranks that are not of the last pipeline stage.
    """
    total, noted = _total(model, count), list[Batch]()
    heads: list[Tensor] = []

    def read(output: Output) -> tuple[Tensor, Tensor]:
        heads[:] = [output.head]
        return output.hidden.new_zeros(()), output.whole(output.hidden).cpu()

    found = _run(model, _repeated(batches, total, noted), total, read)
    return found[:count], heads[0] if heads else None


def _total(model: LocalModel, count: int) -> int:
    """Interleaved stages need a multiple of as many micro-batches as there are pipeline ranks."""
    multiple = 1 if len(model.chunks) == 1 else model.config.pipeline_model_parallel_size
    return -(-count // multiple) * multiple


def _run(model: LocalModel, batches: Iterable[Batch], total: int, read: schedule.Read) -> list[Any]:
    was_training = model.training
    model.eval()  # in training, Megatron would note the experts' load-balancing loss
    found = schedule.run(model.chunks, batches, total, read, backward=False)
    model.train(was_training)
    return found


def _repeated(batches: Iterable[Batch], total: int, noted: list[Batch]) -> Iterator[Batch]:
    """`total` batches, the last one repeated as often as it takes. `noted` gets each, without its
    images."""
    batch = None
    for batch in batches:
        noted.append(replace(batch, patches=None))
        yield batch
    assert batch is not None
    for _ in range(total - len(noted)):
        yield batch


def _empty(batch: Batch, column: str | None, *, entropy: bool, top_k: int) -> Values:
    """Room for the scores of a micro-batch."""
    rows, device = len(batch.labels), parallel.device()
    shape = (rows,) if column is None else batch.columns[column].shape
    values = {"log_probs": torch.empty(shape, device=device)}
    if entropy:
        values["entropy"] = torch.empty(rows, device=device)
    if top_k:
        values["top_log_probs"] = torch.empty(rows, top_k, device=device)
        values["top_ids"] = torch.empty(rows, top_k, dtype=torch.long, device=device)
    return values
