"""The local engine's own step, against transformers' forward on the same cache."""

import copy

import pytest
import torch
from transformers.cache_utils import Cache, DynamicCache

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.passes import decode
from qvl.engines.local.passes.cache import GrowingLayer
from qvl.tiny import model

ROWS, PROMPT, STEPS = 5, 7, 4
STARTS = torch.tensor([0, 3, 0, 6, 1])  # of the rows, which are padded on the left


@pytest.fixture(scope="module", params=["dense", "moe"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model.write(folder, "xs", moe=request.param == "moe", thinking=False, seed=3)
    return Checkpoint(folder)


@torch.inference_mode()
def logits(model, dtype=torch.float32):
    """(B, STEPS, V): of transformers in one forward, and of our steps after the same prompts."""
    ids = torch.randint(0, 400, (ROWS, PROMPT + STEPS), generator=torch.Generator().manual_seed(0))
    positions = (torch.arange(PROMPT + STEPS) - STARTS[:, None]).clamp(min=0)  # (B, T)
    visible = torch.arange(PROMPT + STEPS) >= STARTS[:, None]
    whole = model(
        input_ids=ids,
        attention_mask=visible.long(),
        position_ids=positions.expand(3, -1, -1),
        cache=DynamicCache(),
    ).logits[:, PROMPT:]
    cache = Cache(layers=[GrowingLayer() for _ in model.model.language_model.layers])
    model(
        input_ids=ids[:, :PROMPT],
        attention_mask=visible[:, :PROMPT].long(),
        position_ids=positions[:, :PROMPT].expand(3, -1, -1),
        cache=cache,
        use_cache=True,
    )
    steps = []
    for at in range(PROMPT, PROMPT + STEPS):
        unseen = ~visible[:, None, None, : at + 1]
        mask = torch.zeros(unseen.shape, dtype=dtype).masked_fill_(unseen, -torch.inf)
        steps.append(decode.step(model, cache.layers, ids[:, at], positions[:, at], mask))
    return whole.float(), torch.stack(steps, 1).float()


def difference(one, other):
    return (one - other).abs().max().item()


def test_a_step_gives_the_logits_of_transformers(checkpoint):
    assert difference(*logits(checkpoint.model)) <= 1e-5


def test_in_bf16_a_step_is_as_close_to_fp32_as_transformers(checkpoint):
    exact, _ = logits(checkpoint.model)
    rough = copy.deepcopy(checkpoint.model).to(torch.bfloat16)
    theirs, ours = logits(rough, torch.bfloat16)
    assert difference(ours, exact) <= 1.5 * difference(theirs, exact)


@torch.no_grad()
def test_a_step_uses_weights_that_were_changed_in_place(checkpoint):
    before, _ = logits(checkpoint.model)
    generator = torch.Generator().manual_seed(1)
    for weight in checkpoint.model.parameters():
        weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    theirs, ours = logits(checkpoint.model)
    assert difference(theirs, ours) <= 1e-5
    assert difference(ours, before) > 0.1
