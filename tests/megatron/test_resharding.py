"""A run saved at one layout goes on at another: weights, optimizer and schedule."""

from dataclasses import replace

import checkpoints
import pytest
from test_equals_transformers import STEP, build

from qvl.model.dist_checkpoint import CheckpointTensors
from qvl.model.folder import Folder, same_bits
from qvl.model.shape import load_shape


def train(folder, place, layout, steps, *, resume=False, save=False):
    """Steps `steps` of a run; what the losses were, and the weights after the last."""
    from qvl.megatron import checkpoint, parallel, training

    wanted = replace(STEP, min_lr_ratio=0.1, warmup_steps=2, schedule="cosine")
    trainer = training.prepare(build(folder, layout), wanted, 4)
    if resume:
        assert checkpoint.load(trainer, checkpoint.saved(place)[-1]) == {"step": steps[0] - 1}
    rank, ranks = parallel.data_rank()
    losses = []
    for number in steps:
        lines = [checkpoints.pack(10 * number + other) for other in range(2)]
        mine = [checkpoints.batch(folder, line) for line in lines[rank::ranks]]
        done = training.step(trainer, mine, len(mine), checkpoints.sft_loss(lines))
        losses.append(done.loss)
    if save:
        checkpoint.begin(trainer, place, {"step": steps[-1]}, keep=1).finish()
    return losses, checkpoints.whole_weights(trainer.model, folder)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("tied", (2, "tp=1"), (2, "tp=2")),
        ("tied", (4, "tp=2,pp=2"), (1, "tp=1")),
        ("untied", (2, "pp=2"), (2, "cp=2")),
        ("tied", (2, "pp=2,vp=2"), (2, "pp=2")),
        ("moe", (2, "ep=2"), (4, "tp=2,ep=2,pp=2")),
    ],
)
def test_a_run_goes_on_at_another_layout(ranks, folders, tmp_path, kind, before, after):
    folder = folders[kind]
    ((losses, expected),) = ranks(1, train, folder, tmp_path, "tp=1", (1, 2, 3, 4))
    place = tmp_path / "saved"
    ranks(before[0], saved_half, folder, place, before[1])
    for again, tensors in ranks(after[0], resumed_half, folder, place, after[1]):
        assert again == pytest.approx(losses[2:], rel=1e-5)
        for name, tensor in tensors.items():
            assert (tensor - expected[name]).abs().max() < 5e-6, name


def saved_half(folder, place, layout):
    return train(folder, place, layout, (1, 2), save=True)


def resumed_half(folder, place, layout):
    return train(folder, place, layout, (3, 4), resume=True)


@pytest.mark.parametrize(
    ("kind", "count", "layout"),
    [("tied", 4, "tp=2,pp=2"), ("untied", 2, "pp=2,vp=2"), ("moe", 4, "tp=2,ep=2,pp=2")],
)
def test_what_any_layout_saved_is_read_without_megatron(
    ranks,
    folders,
    tmp_path,
    kind,
    count,
    layout,
):
    folder = folders[kind]
    (_, expected), *_ = ranks(count, saved_half, folder, tmp_path, layout)
    place = tmp_path / "step-0000002" / "megatron"
    stored = CheckpointTensors(place, Folder(folder), load_shape(folder))
    for name, tensor in expected.items():
        assert same_bits(stored.tensor(name), tensor), name
