"""The load-balancing loss of experts is a mean over tokens of that of their pack, added to the loss."""

import checkpoints
import pytest
import torch
from test_equals_transformers import STEP

COEFFICIENT = 0.5
# Of even lengths: tensor-parallel ranks share the tokens, and one of padding would count.
PACKS = (checkpoints.pack(seed) for seed in range(1, 30))
LINES = [line for line in PACKS if len(line["input_ids"]) % 2 == 0][:4]


def step(folder, layout):
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.layout import parse_layout
    from qvl.model.shape import load_shape

    wanted = parse_layout(layout)
    parallel.share(wanted)
    shape = load_shape(folder)
    model = training.build_model(shape, wanted, torch.float32, moe_aux_loss=COEFFICIENT)
    weights.load(model, Folder(folder))
    trainer = training.prepare(model, STEP, 10)
    rank, ranks = parallel.data_rank()
    mine = [checkpoints.batch(folder, line) for line in LINES[rank::ranks]]
    tokens = sum(len(line["input_ids"]) for line in LINES)
    done = training.step(trainer, mine, len(mine), checkpoints.sft_loss(LINES), tokens=tokens)
    found = done.moe_aux_loss, done.expert_imbalance, done.grad_norm
    return *found, checkpoints.whole_weights(model, folder)


def switch_loss(logits, chosen):
    """E * sum over experts of f_i * P_i: arXiv 2101.03961, equation 4; logits (T, E)."""
    count, experts = logits.shape
    share = (
        torch.bincount(logits.topk(chosen).indices.flatten(), minlength=experts) / count / chosen
    )
    return experts * (share * logits.softmax(-1).mean(0)).sum()


def reference(folder):
    model = checkpoints.load_reference(folder)
    seen: dict = {}
    gates = {name: m for name, m in model.named_modules() if name.endswith("mlp.gate")}
    for name, gate in gates.items():

        def keep(module, given, name=name):
            logits = torch.nn.functional.linear(given[0].flatten(0, -2), module.weight)
            seen.setdefault(name, []).append(logits.float())

        gate.register_forward_pre_hook(keep)
    chosen = model.config.text_config.num_experts_per_tok
    losses, sizes, counts = [], [], []
    for line in LINES:
        seen.clear()
        checkpoints.reference_logits(model, line)
        losses.append([switch_loss(torch.cat(parts), chosen) for parts in seen.values()])
        taken = [torch.cat(parts).topk(chosen).indices.flatten() for parts in seen.values()]
        counts.append(torch.stack([each.bincount(minlength=4) for each in taken]).float())
        sizes.append(len(line["input_ids"]))
    noted = sum(loss.item() for each in losses for loss in each) / sum(map(len, losses))
    added = sum(size * sum(each) for size, each in zip(sizes, losses, strict=True)) / sum(sizes)
    (checkpoints.reference_loss(model, LINES) + COEFFICIENT * added).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-3).step()
    every = torch.stack(counts).sum(0)  # (L, E)
    busiest = (every.amax(1) / every.mean(1)).mean().item()
    return noted, busiest, norm.item(), model.state_dict()


@pytest.mark.parametrize(("count", "layout"), [(1, ""), (2, "ep=2"), (4, "tp=2,ep=2")])
def test_experts_are_balanced_as_transformers_would(ranks, moe, count, layout):
    noted, busiest, norm, expected = reference(moe)
    for balance, imbalance, ours, tensors in ranks(count, step, moe, layout):
        assert balance == pytest.approx(noted, rel=1e-5)
        assert imbalance == pytest.approx(busiest, rel=1e-6)
        assert ours == pytest.approx(norm, rel=1e-5)
        for name, tensor in tensors.items():
            assert (tensor - expected[name]).abs().max() < 1e-6, name
