"""Our losses beside the padded form that TRL and verl compute, on random batches with holes in the mask.

Written from their formulas, not copied; `tests/bench/bench_peer_losses.py` runs their own code. Where
they differ from the papers, the inputs keep away: TRL adds 1e-4 and verl 1e-6 to the deviation of a
group, verl bounds GRPO's term at 3 A for negative advantages, and GSPO's ratio at e^10.

Shapes: B responses, T tokens, padded.
"""

import pytest
import torch
from torch import Tensor

from qvl.losses import policy
from qvl.losses.advantages import group_advantages

B, T = 6, 11


def batch(seed: int, spread: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log-probs, old log-probs and mask (B, T), advantages (B,)."""
    draw = torch.Generator().manual_seed(seed)
    log_probs = -3 * torch.rand(B, T, dtype=torch.float64, generator=draw)
    old = log_probs + spread * (2 * torch.rand(B, T, dtype=torch.float64, generator=draw) - 1)
    lengths = torch.randint(1, T + 1, (B, 1), generator=draw)
    mask = (torch.arange(T) < lengths) & (torch.rand(B, T, generator=draw) < 0.7)
    mask[0] = False  # a response without a token
    mask[1:, 0] = True
    return log_probs, old, mask, torch.randn(B, dtype=torch.float64, generator=draw)


def masked_means(terms: Tensor, mask: Tensor) -> Tensor:
    """TRL 1.16.0, trl/trainer/grpo_trainer.py:3153-3154 ("grpo", "sapo"), and verl 0.9.1,
    verl/trainer/ppo/core_algos.py:1194-1203 ("seq-mean-token-mean" with a global batch size): the mean
    over a response's tokens, then over all responses, one without a token among them."""
    return ((terms * mask).sum(1) / mask.sum(1).clamp(min=1)).sum() / len(mask)


def published_sapo(new: Tensor, old: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """grpo_trainer.py:3121-3124; core_algos.py:1658-1684."""
    column = advantages[:, None]
    tau = torch.full_like(new, 1.05).masked_fill(column > 0, 1.0)
    return -masked_means(4 * column / (tau * (1 + (-tau * ((new - old).exp() - 1)).exp())), mask)


def published_grpo(new: Tensor, old: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """grpo_trainer.py:3112-3120 without `delta`; core_algos.py:1336-1361 without its bound."""
    ratio, column = (new - old).exp(), advantages[:, None]
    bounded = ratio.clamp(0.8, 1.27)
    return masked_means(torch.maximum(-column * ratio, -column * bounded), mask)


def published_gspo(new: Tensor, old: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """grpo_trainer.py:3086-3088 (importance_sampling_level "sequence"); core_algos.py:1583-1597."""
    log_ratio = ((new - old) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    ratio, column = log_ratio.exp(), advantages[:, None]
    bounded = ratio.clamp(1 - 3e-4, 1 + 4e-4)
    return masked_means(torch.maximum(-column * ratio, -column * bounded).expand_as(new), mask)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "published", "spread"),
    [
        ("sapo", published_sapo, 1.0),
        ("grpo", published_grpo, 1.0),
        ("gspo", published_gspo, 1e-3),
        ("gspo", published_gspo, 1.0),
    ],
)
def test_the_padded_form_of_trl_and_verl_is_the_same(name, published, spread, seed):
    log_probs, old, mask, advantages = batch(seed, spread)
    log_probs.requires_grad_()
    theirs = published(log_probs, old, mask, advantages)
    (expected,) = torch.autograd.grad(theirs, log_probs)

    sequences = mask.nonzero()[:, 0]
    lengths = mask.sum(1)
    options = {}
    if name == "gspo":

        def mean(values):
            sums = values.new_zeros(B).index_add(0, sequences, values)
            return (sums / lengths.clamp(min=1))[sequences]

        options["mean"] = mean
    terms = getattr(policy, name)(log_probs[mask], old[mask], advantages[sequences], **options)
    ours = policy.loss(terms, 1 / lengths.double()[sequences] / B)
    (gradient,) = torch.autograd.grad(ours, log_probs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_the_advantages_of_trl_and_verl_are_ours_but_for_what_they_add_to_the_deviation():
    """grpo_trainer.py:2770-2787 (1e-4); core_algos.py:304-328 (1e-6)."""
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5], dtype=torch.float64)
    for added in (1e-4, 1e-6):
        theirs = (rewards - rewards.mean()) / (rewards.std() + added)
        ours = torch.tensor(group_advantages(rewards.tolist()), dtype=torch.float64)
        torch.testing.assert_close(theirs * (1 + added / rewards.std()), ours)
