"""Megatron's numbers are Hugging Face's: logits, losses, gradients, parameters after a step."""

from dataclasses import replace

import checkpoints
import pytest
import torch

from qvl.settings import Optimization

STEP = Optimization(
    lr=1e-2,
    min_lr_ratio=1.0,
    warmup_steps=0,
    schedule="constant",
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    eps=1e-3,
    clip=1.0,
)


def build(folder, layout="", again=False):
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.layout import parse_layout
    from qvl.model.shape import load_shape
    from qvl.settings import RECOMPUTE

    shape, wanted = load_shape(folder), parse_layout(layout)
    if layout:  # the ranks have started each for themselves
        wanted.check(shape, parallel.world())
        parallel.share(wanted)
    model = training.build_model(shape, wanted, torch.float32, RECOMPUTE if again else None)
    weights.load(model, Folder(folder))
    return model


def logits(folder, line):
    with torch.no_grad():
        (model,) = build(folder).chunks
        batch = checkpoints.batch(folder, line)
        every = replace(batch, rows=torch.arange(len(batch.ids)), labels=batch.ids)
        every = replace(every, sequences=torch.zeros_like(batch.ids), columns={})
        output = model(every)
        return output.hidden @ output.head.T, -model(batch).log_probs()


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_logits_of_a_pack_equal_those_of_each_record_alone(ranks, request, kind):
    folder = request.getfixturevalue(kind)
    line = checkpoints.pack(0)
    ((ours, losses),) = ranks(1, logits, folder, line)
    with torch.no_grad():
        theirs = checkpoints.reference_logits(checkpoints.load_reference(folder), line)
    assert (ours - theirs).abs().max() < 1e-5
    batch = checkpoints.batch(folder, line)
    expected = torch.nn.functional.cross_entropy(theirs[batch.rows], batch.labels, reduction="none")
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-5)


def one_step(folder, lines, freeze=(), layout="", overlap=False, again=False):
    """One optimizer step, the lines shared among the ranks. again: activations are recomputed."""
    from qvl.megatron import parallel, training

    model = build(folder, layout, again)
    trainer = training.prepare(model, replace(STEP, freeze=freeze), 10, overlap=overlap)
    rank, ranks = parallel.data_rank()
    mine = [checkpoints.batch(folder, line, dealt=True) for line in lines[rank::ranks]]
    done = training.step(trainer, mine, len(mine), checkpoints.sft_loss(lines))
    trainer.wait_for_parameters()
    return done.loss, done.grad_norm, checkpoints.whole_weights(model, folder)


def reference_step(folder, lines, reference_loss=checkpoints.reference_loss):
    model = checkpoints.load_reference(folder)
    loss = reference_loss(model, lines)
    loss.backward()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-3)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item(), norm.item(), model.state_dict()


@pytest.mark.parametrize(("kind", "count"), [("dense", 1), ("dense", 2), ("moe", 2)])
def test_a_step_equals_transformers_with_adamw(ranks, request, kind, count):
    folder = request.getfixturevalue(kind)
    lines = [checkpoints.pack(seed) for seed in range(1, 5)]
    results = ranks(count, one_step, folder, lines)
    loss, norm, expected = reference_step(folder, lines)
    for ours, grad_norm, tensors in results:
        assert ours == pytest.approx(loss, rel=1e-6)
        assert grad_norm == pytest.approx(norm, rel=1e-5)
        for name, tensor in tensors.items():
            assert (tensor - expected[name]).abs().max() < 1e-6, name


def test_ranks_with_and_without_images_step_together(ranks, dense):
    lines = [checkpoints.pack(1), checkpoints.pack(2, images=False)]
    _, _, expected = reference_step(dense, lines)
    for _, _, tensors in ranks(2, one_step, dense, lines):
        for name, tensor in tensors.items():
            assert (tensor - expected[name]).abs().max() < 1e-6, name


def test_frozen_parts_stay_and_others_move(ranks, dense):
    from qvl.model.folder import Folder

    ((_, _, tensors),) = ranks(1, one_step, dense, [checkpoints.pack(1)], ("vision",))
    before = Folder(dense)
    moved = {name for name, tensor in tensors.items() if not torch.equal(tensor, before.get(name))}
    assert not any("visual.blocks" in name or "patch_embed" in name for name in moved)
    assert any("visual.merger" in name for name in moved)
    assert any("language_model" in name for name in moved)
