"""Training on a GPU: bf16 beside transformers, overlapped messages, a pack of 32K tokens.

`make test-gpu` runs these; QVL_WITHOUT_GPU=1 tries them on a CPU, with a shorter pack.
"""

import os

import checkpoints
import pytest
import torch

from qvl.settings import Optimization

CPU = os.environ.get("QVL_WITHOUT_GPU") == "1"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (CPU or torch.cuda.is_available()), reason="needs a GPU"),
]
LONG = 1024 if CPU else 32_768
OPTIMIZATION = Optimization(lr=1e-3, min_lr_ratio=1.0, warmup_steps=0, schedule="constant")


def trained(folder, lines, overrides, overlap):
    """Losses of three steps over the same lines in bf16, and the most memory, in bytes."""
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape

    shape = load_shape(folder)
    model = training.build_model(shape, parallel.Layout(), torch.bfloat16, overrides)
    weights.load(model, Folder(folder))
    trainer = training.prepare(model, OPTIMIZATION, 10, overlap=overlap)
    batches = [checkpoints.batch(folder, line) for line in lines]
    loss = checkpoints.sft_loss(lines)
    losses = [training.step(trainer, batches, len(batches), loss).loss for _ in range(3)]
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return losses, peak


@pytest.mark.parametrize("kind", ["dense", "moe"])
@pytest.mark.parametrize("overlap", [False, True])
def test_bf16_begins_at_transformers_loss_and_falls(ranks, request, kind, overlap):
    folder = request.getfixturevalue(kind)
    lines = [checkpoints.pack(seed) for seed in range(1, 5)]
    with torch.no_grad():
        expected = checkpoints.reference_loss(checkpoints.load_reference(folder), lines).item()
    ((losses, _),) = ranks(1, trained, folder, lines, {}, overlap)
    assert losses[0] == pytest.approx(expected, rel=2e-2)
    assert losses[2] < losses[1] < losses[0]


def test_transformer_engine_begins_at_the_same_loss_and_falls(ranks, dense):
    pytest.importorskip("transformer_engine")
    lines = [checkpoints.pack(seed) for seed in range(1, 5)]
    ((losses, _),) = ranks(1, trained, dense, lines, {}, False)
    overrides = {"transformer_impl": "transformer_engine"}
    ((again, _),) = ranks(1, trained, dense, lines, overrides, False)
    assert again == pytest.approx(losses, rel=2e-2)


def by_varlen_and_without():
    """Packed attention of random records in bf16, forwards and backwards, both ways, on the GPU."""
    from types import SimpleNamespace

    from qvl.megatron import attention
    from qvl.model import kernels

    lengths = [300, 5, 1, 700, 64]
    device = torch.device("cuda")
    plan = attention.segments(lengths, device)
    layer = attention.PackedAttention(SimpleNamespace(kv_channels=64), 1, None, "self")
    generator = torch.Generator().manual_seed(0)
    whole = [torch.randn(sum(lengths), 1, n, 64, generator=generator) for n in (8, 2, 2)]
    known, found = kernels.has_varlen, []
    for kernel in (known, lambda query: False):
        kernels.has_varlen = kernel
        mine = [each.to(device, torch.bfloat16).requires_grad_() for each in whole]
        out = layer(*mine, packed_seq_params=plan)
        grads = torch.autograd.grad(out.float().square().sum(), mine)
        found.append([each.float().cpu() for each in (out.detach(), *grads)])
    return found


@pytest.mark.skipif(CPU, reason="there is no such kernel on a CPU; see tests/megatron")
def test_varlen_attention_equals_that_of_the_rectangles(ranks):
    ((varlen, plain),) = ranks(1, by_varlen_and_without)
    for one, other in zip(varlen, plain, strict=True):
        assert (one - other).abs().max() <= 2e-2 * other.abs().max()


def long_line(tokens):
    """One record of `tokens` tokens, the last quarter of them targets."""
    ids = torch.randint(0, 110, (tokens,), generator=torch.Generator().manual_seed(0)).tolist()
    return {
        "id": "long", "records": ["long"], "lengths": [tokens], "input_ids": ids,
        "loss_weights": [[3 * tokens // 4, tokens, 1.0]], "images": [], "grids": [],
    }  # fmt: skip


def test_a_long_pack_trains_and_recomputation_saves_memory(ranks, dense):
    from qvl.settings import RECOMPUTE

    line = long_line(LONG)
    ((plain, most),) = ranks(1, trained, dense, [line], {}, False)
    ((again, less),) = ranks(1, trained, dense, [line], RECOMPUTE, False)
    assert again == pytest.approx(plain, rel=1e-3)
    assert CPU or less < most
