"""A saved and loaded run goes on as if nothing had happened."""

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import checkpoints
import pytest
import torch
from test_equals_transformers import STEP, build

from qvl.jobs import export
from qvl.model.dist_checkpoint import CheckpointTensors
from qvl.model.folder import Folder, same_bits
from qvl.model.shape import load_shape


def train(folder, place, stops):
    """Four steps; after each of `stops` the trainer is saved, thrown away, and loaded anew."""
    from qvl.megatron import checkpoint, parallel, training

    def fresh():
        wanted = replace(STEP, min_lr_ratio=0.1, warmup_steps=2, schedule="cosine")
        return training.prepare(build(folder), wanted, 4)

    trainer = fresh()
    rank, ranks = parallel.data_rank()
    losses = []
    for number in range(1, 5):
        lines = [checkpoints.pack(10 * number + other) for other in range(2)]
        mine = [checkpoints.batch(folder, line) for line in lines[rank::ranks]]
        done = training.step(trainer, mine, len(mine), checkpoints.sft_loss(lines))
        losses.append(done.loss)
        if number in stops:
            checkpoint.begin(trainer, place, {"step": number}, keep=1).finish()
            trainer = fresh()
            state = checkpoint.load(trainer, checkpoint.saved(place)[-1])
            assert state == {"step": number}
    return losses, checkpoints.whole_weights(trainer.model, folder)


@pytest.mark.parametrize(("kind", "count"), [("dense", 2), ("moe", 1)])
def test_a_resumed_run_ends_with_the_same_bits(ranks, request, tmp_path, kind, count):
    folder = request.getfixturevalue(kind)
    whole = ranks(count, train, folder, tmp_path, ())
    resumed = ranks(count, train, folder, tmp_path, (2,))
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000002"]
    for (losses, tensors), (again, others) in zip(whole, resumed, strict=True):
        assert losses == again
        for name, tensor in tensors.items():
            assert torch.equal(tensor, others[name]), name


class Late(threading.Thread):
    """Does nothing until it is waited for."""

    def start(self):
        pass

    def join(self, timeout=None):
        super().start()
        super().join(timeout)


def saved_behind_a_step(folder, place):
    """The weights when a checkpoint was begun; a step is taken before it is finished."""
    from qvl.megatron import checkpoint, training

    wanted = replace(STEP, min_lr_ratio=0.1)
    trainer = training.prepare(build(folder), wanted, 4)
    line = checkpoints.pack(1)
    batch = checkpoints.batch(folder, line)
    training.step(trainer, [batch], 1, checkpoints.sft_loss([line]))
    before = checkpoints.whole_weights(trainer.model, folder)
    checkpoint.threading = SimpleNamespace(Thread=Late)
    saving = checkpoint.begin(trainer, place, {"step": 1}, keep=1)
    training.step(trainer, [batch], 1, checkpoints.sft_loss([line]))
    saving.finish()
    return before


def test_training_that_goes_on_does_not_change_what_is_being_saved(ranks, dense, tmp_path):
    (before,) = ranks(1, saved_behind_a_step, dense, tmp_path)
    check_stored(dense, tmp_path / "step-0000001", before)


def check_stored(folder, place, expected):
    """What is read without Megatron."""
    stored = CheckpointTensors(place / "megatron", Folder(folder), load_shape(folder))
    for name, tensor in expected.items():
        assert same_bits(stored.tensor(name), tensor), name


def test_one_process_reads_the_weights_that_two_have_saved(ranks, dense, tmp_path):
    (_, expected), _ = ranks(2, train, dense, tmp_path, (4,))
    check_stored(dense, tmp_path / "step-0000004", expected)


def read_by_megatron(folder, place, layout):
    from megatron.core import dist_checkpointing

    model = build(folder, layout)
    for parameter in model.parameters():
        parameter.data.zero_()
    plan = {str(i): chunk.sharded_state_dict() for i, chunk in enumerate(model.chunks)}
    found: Any = dist_checkpointing.load({"model": plan}, str(place / "megatron"))
    for index, chunk in enumerate(model.chunks):
        chunk.load_state_dict(found["model"][str(index)])
    assert found["state"] == {"step": 0}
    return checkpoints.whole_weights(model, folder)


@pytest.mark.parametrize(
    ("kind", "count", "layout"),
    [("dense", 1, ""), ("dense", 4, "tp=2,pp=2"), ("moe", 4, "tp=2,ep=2,pp=2")],
)
def test_megatron_itself_reads_what_qvl_import_writes(
    ranks, request, tmp_path, kind, count, layout
):
    folder = request.getfixturevalue(kind)
    export.to_megatron(folder, tmp_path / "imported")
    for tensors in ranks(count, read_by_megatron, folder, tmp_path / "imported", layout):
        for name, tensor in tensors.items():
            assert same_bits(tensor, Folder(folder).get(name)), name
