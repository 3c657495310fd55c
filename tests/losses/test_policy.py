"""The policy losses against the plainest loops over their formulas, and in closed form, in float64."""

import math

import pytest
import torch

from qvl.losses import policy

INF = math.inf
LENGTHS = [5, 1, 0, 9, 3]  # tokens of each response; one without any
SEQUENCES = torch.tensor([i for i, n in enumerate(LENGTHS) for _ in range(n)])


def tokens(spread: float = 0.5, seed: int = 0):
    """Log-probs, old log-probs and advantages per token, and the loss's weights, all (R,)."""
    draw = torch.Generator().manual_seed(seed)
    count = len(SEQUENCES)
    log_probs = -3 * torch.rand(count, dtype=torch.float64, generator=draw) - 0.01
    old = log_probs + spread * torch.randn(count, dtype=torch.float64, generator=draw)
    advantages = torch.tensor([1.3, -0.4, 0.9, -1.1, 0.0], dtype=torch.float64)[SEQUENCES]
    lengths = torch.tensor(LENGTHS, dtype=torch.float64)[SEQUENCES]
    return log_probs, old, advantages, 1 / lengths / len(LENGTHS)


def mean(values: torch.Tensor) -> torch.Tensor:
    """(R,) -> (R,) over each token's own response."""
    sums = values.new_zeros(len(LENGTHS)).index_add(0, SEQUENCES, values)
    return (sums / torch.tensor(LENGTHS).clamp(min=1))[SEQUENCES]


LOSSES = {
    "sapo": policy.sapo,
    "grpo": policy.grpo,
    "gspo": lambda *tensors: policy.gspo(*tensors, mean=mean, clip_low=0.1, clip_high=0.12),
}


def loss_and_gradient(terms, log_probs, old, advantages, weights):
    log_probs = log_probs.clone().requires_grad_()
    value = policy.loss(terms(log_probs, old, advantages), weights)
    (gradient,) = torch.autograd.grad(value, log_probs)
    return value.item(), gradient


def naive(name: str, log_probs, old, advantages) -> tuple[float, list[float]]:
    """The loss and its gradient by each log-prob, from the papers' formulas, in plain numbers."""
    rows: list[list[int]] = [[] for _ in LENGTHS]
    for row, sequence in enumerate(SEQUENCES.tolist()):
        rows[sequence].append(row)
    objective, gradient = 0.0, [0.0] * len(SEQUENCES)
    for own in rows:
        for row in own:
            a = advantages[row].item()
            r = math.exp(log_probs[row].item() - old[row].item())
            if name == "sapo":
                tau = 1.0 if a > 0 else 1.05
                p = 1 / (1 + math.exp(-tau * (r - 1)))
                term, slope = p * 4 / tau * a, 4 * p * (1 - p) * r * a
            else:
                low, high = (0.8, 1.27) if name == "grpo" else (0.9, 1.12)
                if name == "gspo":
                    total = sum(log_probs[i].item() - old[i].item() for i in own)
                    r = math.exp(total / len(own))
                term = min(r * a, min(max(r, low), high) * a)
                slope = r * a if (r <= high if a > 0 else r >= low) else 0.0
            objective += term / len(own) / len(LENGTHS)
            gradient[row] = -slope / len(own) / len(LENGTHS)
    return -objective, gradient


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_naive_loop(name, seed):
    log_probs, old, advantages, weights = tokens(seed=seed)
    value, gradient = loss_and_gradient(LOSSES[name], log_probs, old, advantages, weights)
    expected, slopes = naive(name, log_probs, old, advantages)
    assert value == pytest.approx(expected, rel=1e-12)
    assert gradient.tolist() == pytest.approx(slopes, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_in_the_first_mini_batch_the_gradient_is_that_of_reinforce(name):
    log_probs, _, advantages, weights = tokens()
    _, gradient = loss_and_gradient(LOSSES[name], log_probs, log_probs, advantages, weights)
    torch.testing.assert_close(gradient, -advantages * weights, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("new", [-INF, -1e30, -700.0, -1.0, 0.0])
@pytest.mark.parametrize("old", [-INF, -1e30, -700.0, -1.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_no_log_prob_gives_nan(name, new, old, dtype):
    size = len(SEQUENCES)
    for advantage in (-4.0, 0.0, 4.0):
        tensors = [torch.full((size,), x, dtype=dtype) for x in (new, old, advantage)]
        value, gradient = loss_and_gradient(LOSSES[name], *tensors, torch.ones(size))
        assert math.isfinite(value) and gradient.isfinite().all()
