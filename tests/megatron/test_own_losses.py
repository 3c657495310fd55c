"""A loss of one's own, not linear in the log-probs, steps at any layout as it does in one process.

Two of them: one per token, a soft gate on the ratio to old log-probs as in SAPO (arXiv 2511.20347), and
one per record, a clipped ratio of sequences as in GSPO (arXiv 2507.18071), for which a record's
log-probs are added up over the ranks that have its tokens.
"""

import checkpoints
import numpy as np
import pytest
import torch
from test_equals_transformers import STEP, build, reference_step

from qvl.train.loss_guard import worst

SEEDS = (1, 2, 3, 4)
RECORDS = 6 * len(SEEDS)
CLIP = 0.1
EXPECTED: dict = {}


def gate(ratio, advantage):
    return torch.sigmoid(2 * (ratio - 1)) * 2 * advantage


def clipped(ratio, advantage):
    return torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)


def per_token(batch, output):
    """The mean over each record's target tokens, then over records; its gradient on the spot."""
    old, advantage = batch.columns["old_log_prob"], batch.columns["advantage"]
    share = 1 / batch.num_targets[batch.sequences] / RECORDS

    def terms(log_probs, rows):
        return gate((log_probs - old[rows]).exp(), advantage[rows])

    log_probs = output.log_probs(weights=share, terms=terms)
    loss = -(terms(log_probs, slice(None)) * share).sum()
    log_ratio = log_probs - old
    return loss, {"ratio": (log_ratio.exp() * share).sum(), "gap": log_ratio.abs()}


def per_sequence(batch, output):
    """The mean over records; each is spread over its target tokens."""
    log_ratio = output.log_probs() - batch.columns["old_log_prob"]
    share = 1 / batch.num_targets[batch.sequences] / RECORDS
    terms = clipped(output.sequence_means(log_ratio).exp(), batch.columns["advantage"])
    return -(terms * share).sum(), {"gap": log_ratio.abs()}


LOSSES = {"per token": per_token, "per sequence": per_sequence}


def naive(kind):
    """The same of transformers' log-probs, record by record."""

    def loss(model, lines):
        total = torch.zeros(())
        for line in lines:
            for log_probs, sample in zip(
                checkpoints.reference_log_probs(model, line),
                checkpoints.samples(line),
                strict=True,
            ):
                log_ratio = log_probs - torch.tensor(sample.columns["old_log_prob"])
                advantage = torch.tensor(sample.columns["advantage"])
                if kind == "per token":
                    total = total - gate(log_ratio.exp(), advantage).mean()
                else:
                    total = total - clipped(log_ratio.mean().exp(), advantage[0])
        return total / RECORDS

    return loss


def prepared(folder):
    """Packed lines with an advantage per record and old log-probs not far from the model's; and by
    record, how far they are and the mean ratio."""
    model, lines, gaps, ratios = checkpoints.load_reference(folder), [], {}, []
    for seed in SEEDS:
        draw = np.random.default_rng(seed)
        line = checkpoints.pack(seed, images=seed != 2)
        with torch.no_grad():
            found = checkpoints.reference_log_probs(model, line)
        noise = [draw.normal(0, 0.1) + draw.normal(0, 0.3, len(each)) for each in found]
        log_ratios = [torch.from_numpy(each).float() for each in noise]
        gaps |= {
            name: each.abs().mean().item()
            for name, each in zip(line["records"], log_ratios, strict=True)
        }
        ratios += [each.exp().mean().item() for each in log_ratios]
        old = torch.cat(found) - torch.cat(log_ratios)
        advantage = [x for each in found for x in [draw.normal()] * len(each)]
        columns = {"old_log_prob": old.tolist(), "advantage": advantage}
        lines.append({**line, "columns": columns})
    return lines, gaps, sum(ratios) / RECORDS


def expected(folders, kind):
    """What was prepared, and by loss what transformers makes of a step."""
    if kind not in EXPECTED:
        lines, gaps, ratio = prepared(folders[kind])
        steps = {name: reference_step(folders[kind], lines, naive(name)) for name in LOSSES}
        EXPECTED[kind] = lines, gaps, ratio, steps
    return EXPECTED[kind]


class Never:
    """A guard that rejects every step."""

    def check(self, metrics, *, finite_gradients):
        return f"the loss is {metrics['loss']}"


def steps(folder, lines, layout):
    """By loss, a step from the same weights, its batches made from memory; and one rejected."""
    from qvl.megatron import parallel, training
    from qvl.model.batch import batch_of
    from qvl.model.shape import load_shape

    found = {}
    for name, loss in LOSSES.items():
        trainer = training.prepare(build(folder, layout), STEP, 10)
        rank, ranks = parallel.data_rank()
        mine = [
            batch_of(checkpoints.samples(line), load_shape(folder), checkpoints.loader(line))
            for line in lines[rank::ranks]
        ]
        rejected = training.step(trainer, mine, len(mine), loss, Never())
        done = training.step(trainer, mine, len(mine), loss)
        weights = checkpoints.whole_weights(trainer.model, folder)
        found[name] = (
            done.loss,
            done.grad_norm,
            weights,
            done.metrics,
            rejected.records.get("gap", []),
        )
    return found


@pytest.mark.parametrize(
    ("count", "kind", "layout"),
    [
        (1, "tied", "tp=1"),
        (2, "tied", "tp=1"),
        (2, "tied", "tp=2"),
        (2, "tied", "pp=2"),
        (2, "tied", "pp=2,vp=2"),
        (2, "tied", "cp=2"),
        (2, "moe", "ep=2"),
        (8, "tied", "tp=2,pp=2,cp=2"),
    ],
)
def test_a_step_equals_that_of_one_process(ranks, folders, count, kind, layout):
    lines, gaps, ratio, steps_expected = expected(folders, kind)
    results = ranks(count, steps, folders[kind], lines, layout)
    for name, (loss, norm, after) in steps_expected.items():
        for result in results:
            ours, grad_norm, tensors, metrics, _ = result[name]
            assert ours == metrics["loss"] == pytest.approx(loss, rel=1e-5)
            assert grad_norm == pytest.approx(norm, rel=1e-5)
            for tensor_name, tensor in tensors.items():
                assert (tensor - after[tensor_name]).abs().max() < 1e-6, tensor_name
        # A rejected step names its records by the loss's own metric, whoever has their tokens.
        suspects = worst(part for result in results for part in result[name][4])
        assert {each.record: each.value for each in suspects} == pytest.approx(gaps, rel=1e-4)
        assert suspects[0].record == max(gaps, key=gaps.__getitem__)
    for result in results:
        assert result["per token"][3]["ratio"] == pytest.approx(ratio, rel=1e-5)
