"""The local engine's own step, against transformers' forward on the same cache."""

import pytest
import torch
from transformers.cache_utils import Cache, DynamicCache

from qvl.engines.local import decode
from qvl.engines.local.batch import GrowingLayer
from qvl.engines.local.checkpoint import Checkpoint
from qvl.tiny import model

ROWS, PROMPT, STEPS = 5, 7, 4
STARTS = torch.tensor([0, 3, 0, 6, 1])  # rows are padded on the left


@pytest.fixture(scope="module", params=["dense", "moe"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model.write(folder, "xs", moe=request.param == "moe", thinking=False, seed=3)
    return Checkpoint(folder)


@torch.inference_mode()
def largest_difference(checkpoint):
    """Of the logits, over a few steps that both sides take from the same prompts."""
    ids = torch.randint(0, 400, (ROWS, PROMPT + STEPS), generator=torch.Generator().manual_seed(0))
    positions = (torch.arange(PROMPT + STEPS) - STARTS[:, None]).clamp(min=0)  # (B, T)
    visible = torch.arange(PROMPT + STEPS) >= STARTS[:, None]
    whole = checkpoint.model(
        input_ids=ids,
        attention_mask=visible.long(),
        position_ids=positions.expand(3, -1, -1),
        cache=DynamicCache(),
    ).logits
    cache = Cache(layers=[GrowingLayer() for _ in checkpoint.model.model.language_model.layers])
    checkpoint.model(
        input_ids=ids[:, :PROMPT],
        attention_mask=visible[:, :PROMPT].long(),
        position_ids=positions[:, :PROMPT].expand(3, -1, -1),
        cache=cache,
        use_cache=True,
    )
    worst = 0.0
    for at in range(PROMPT, PROMPT + STEPS):
        mask = torch.zeros(ROWS, 1, 1, at + 1).masked_fill_(
            ~visible[:, None, None, : at + 1], -torch.inf
        )
        found = decode.step(checkpoint.model, cache.layers, ids[:, at], positions[:, at], mask)
        worst = max(worst, (found - whole[:, at]).abs().max().item())
    return worst


def test_a_step_gives_the_logits_of_transformers(checkpoint):
    assert largest_difference(checkpoint) <= 1e-5


@torch.no_grad()
def test_a_step_sees_weights_that_were_changed_in_place(checkpoint):
    generator = torch.Generator().manual_seed(1)
    for weight in checkpoint.model.parameters():
        weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    assert largest_difference(checkpoint) <= 1e-5
