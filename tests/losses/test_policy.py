"""The policy losses against the plainest loops over their formulas, and in closed form, in float64."""

import itertools
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
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_no_log_prob_gives_nan(name, dtype):
    size, limits = len(SEQUENCES), (-INF, -1e30, -700.0, -1.0, 0.0)
    for inputs in itertools.product(limits, limits, (-4.0, 0.0, 4.0)):
        new, old, advantages = (torch.full((size,), x, dtype=dtype) for x in inputs)
        value, gradient = loss_and_gradient(LOSSES[name], new, old, advantages, torch.ones(size))
        assert math.isfinite(value) and gradient.isfinite().all(), inputs


@pytest.mark.parametrize("name", ["sapo", "grpo"])
@pytest.mark.parametrize("new", [-INF, -1.0])
@pytest.mark.parametrize("old", [-INF, -1.0])
def test_a_token_of_no_probability_has_no_gradient_on_either_side(name, new, old):
    size = len(SEQUENCES)
    one, other = (torch.full((size,), x, dtype=torch.float64) for x in (new, old))
    _, _, advantages, weights = tokens()
    _, gradient = loss_and_gradient(LOSSES[name], one, other, advantages, weights)
    assert bool(gradient.any()) == (new == old == -1.0)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_of_a_broken_model_is_not_hidden(name):
    log_probs, old, advantages, weights = tokens()
    log_probs[2] = math.nan
    value, _ = loss_and_gradient(LOSSES[name], log_probs, old, advantages, weights)
    assert math.isnan(value)


def test_the_weight_of_sapo_is_the_square_of_a_hyperbolic_secant():
    ratio = torch.linspace(0.01, 5, 400, dtype=torch.float64)
    for advantage, tau in ((0.7, 1.0), (-0.7, 1.05)):
        log_probs = ratio.log().requires_grad_()
        terms = policy.sapo(log_probs, torch.zeros_like(ratio), torch.full_like(ratio, advantage))
        (gradient,) = torch.autograd.grad(terms.sum(), log_probs)
        weight = 1 / torch.cosh(tau / 2 * (ratio - 1)).square()
        torch.testing.assert_close(gradient, weight * ratio * advantage, rtol=1e-9, atol=1e-12)


def test_the_weight_of_sapo_has_the_values_known_of_it():
    # At r = 0, 1.5, 2, 3, 5: sech^2(tau / 2 (r - 1)) by hand, for tau 1.0 and 1.05.
    ratios = torch.tensor([1e-8, 1.5, 2, 3, 5], dtype=torch.float64)
    for advantage, known in (
        (1.0, [0.786, 0.940, 0.786, 0.420, 0.0707]),
        (-1.0, [0.768, 0.934, 0.768, 0.389, 0.0582]),
    ):
        for ratio, weight in zip(ratios, known, strict=True):
            one = torch.ones(1, dtype=torch.float64)
            found = policy.ratio_metrics(ratio.log()[None], 0 * one, advantage * one, one)
            assert found["gate"].item() == pytest.approx(weight, abs=6e-4)


def test_sapo_becomes_gspo_where_a_response_has_one_ratio():
    """Section 4.2: without variance of log r in a response, SAPO's gradient is that of an unclipped
    GSPO times sech^2(tau / 2 (s - 1))."""
    _, old, advantages, weights = tokens()
    log_ratio = torch.tensor([0.3, -0.2, 0.1, 0.5, -0.4], dtype=torch.float64)[SEQUENCES]
    unclipped = lambda *t: policy.gspo(*t, mean=mean, clip_low=1e9, clip_high=1e9)  # noqa: E731
    _, soft = loss_and_gradient(policy.sapo, old + log_ratio, old, advantages, weights)
    _, sequence = loss_and_gradient(unclipped, old + log_ratio, old, advantages, weights)
    tau = torch.full_like(old, 1.05).masked_fill(advantages > 0, 1.0)
    gate = 1 / torch.cosh(tau / 2 * log_ratio.expm1()).square()
    torch.testing.assert_close(soft, gate * sequence, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("spread", [0.3, 0.1, 0.02])
def test_the_mean_gate_is_that_of_the_mean_ratio_up_to_the_variance(spread):
    """Section 4.2: |mean_t g(z_t) - g(mean z)| <= tau^2 / 4 Var(z), with g(z) = sech^2(tau / 2 z)."""
    draw = torch.Generator().manual_seed(3)
    z = 0.1 + spread * torch.randn(1000, dtype=torch.float64, generator=draw)
    one = torch.ones_like(z)
    gate = policy.ratio_metrics((1 + z).log(), 0 * z, one, one / len(z))["gate"]
    alone = 1 / torch.cosh(z.mean() / 2).square()
    bound = z.var(unbiased=False) / 4
    assert 0 < abs(gate - alone) <= bound


def test_gspo_equals_the_plain_form_whose_gradient_runs_through_the_mean():
    log_probs, old, advantages, weights = tokens()

    def plain(new, old, advantages):
        ratio = mean(new - old).exp()
        return torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.12) * advantages)

    value, gradient = loss_and_gradient(LOSSES["gspo"], log_probs, old, advantages, weights)
    expected, slopes = loss_and_gradient(plain, log_probs, old, advantages, weights)
    assert value == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, slopes, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("parts", [2, 5, 18])
def test_parts_of_a_mini_batch_add_up_to_the_whole_however_its_tokens_are_dealt(name, parts):
    """Micro-batches and data-parallel ranks have some responses, context-parallel ranks some tokens of
    each: here every token is dealt by chance. Of gspo the mean spans the parts, as over ranks."""
    log_probs, old, advantages, weights = tokens()
    whole = loss_and_gradient(LOSSES[name], log_probs, old, advantages, weights)
    metrics = policy.ratio_metrics(log_probs, old, advantages, weights)
    owner = torch.randint(parts, (len(SEQUENCES),), generator=torch.Generator().manual_seed(parts))
    value, gradient = 0.0, torch.zeros_like(log_probs)
    sums = dict.fromkeys(metrics, 0.0)
    for part in range(parts):
        rows = (owner == part).nonzero()[:, 0]
        terms = LOSSES[name]
        if name == "gspo":

            def terms(*tensors, rows=rows):
                known = mean(log_probs - old)[rows]
                return policy.gspo(
                    *tensors, mean=lambda values: known, clip_low=0.1, clip_high=0.12
                )

        own = [each[rows] for each in (log_probs, old, advantages, weights)]
        more, slopes = loss_and_gradient(terms, *own)
        value, gradient[rows] = value + more, slopes
        for key, x in policy.ratio_metrics(*own).items():
            sums[key] += x.item()
    assert value == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(gradient, whole[1], rtol=1e-12, atol=1e-15)
    assert sums == pytest.approx({key: x.item() for key, x in metrics.items()}, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_tokens_without_weight_are_as_if_absent(name):
    """Holes and padding that a batch has rows of: whatever finite values are there."""
    log_probs, old, advantages, weights = tokens()
    value, gradient = loss_and_gradient(LOSSES[name], log_probs, old, advantages, weights)
    if name == "gspo":

        def terms(new, old, advantages):
            found = mean(new[::2] - old[::2])
            spans = torch.stack([found, found], 1).flatten()
            return policy.gspo(
                new, old, advantages, mean=lambda _: spans, clip_low=0.1, clip_high=0.12
            )
    else:
        terms = LOSSES[name]

    def holed(values, filler):
        return torch.stack([values, torch.full_like(values, filler)], 1).flatten()

    wide = holed(log_probs, -700.0), holed(old, -0.1), holed(advantages, 3.0), holed(weights, 0.0)
    more, slopes = loss_and_gradient(terms, *wide)
    assert more == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(slopes, holed(gradient, 0.0), rtol=1e-12, atol=0)


def test_truncated_importance_is_the_capped_ratio_of_trainer_and_engine_without_a_gradient():
    old = torch.tensor([-1.0, -1.0, -1.0, -INF, -1.0, -INF], requires_grad=True)
    engine = torch.tensor([-1.0, -1.5, -0.5, -1.0, -INF, -INF])
    found = policy.truncated_importance(old, engine, 1.2)
    assert not found.requires_grad
    assert found.tolist() == pytest.approx([1.0, 1.2, math.exp(-0.5), math.exp(-20), 1.2, 1.0])


def test_the_metrics_are_those_of_the_naive_loop():
    log_probs, old, advantages, weights = tokens()
    ratios = [math.exp(new - x) for new, x in zip(log_probs.tolist(), old.tolist(), strict=True)]
    shares = (weights / weights.sum()).tolist()
    average = sum(r * w for r, w in zip(ratios, shares, strict=True))
    sums = policy.ratio_metrics(log_probs, old, advantages, weights)
    found = {name: (x / weights.sum()).item() for name, x in sums.items()}
    assert found["ratio"] == pytest.approx(average)
    variance = sum((r - average) ** 2 * w for r, w in zip(ratios, shares, strict=True))
    spread = policy.ratio_spread(found["ratio"], found["ratio_square"])
    assert spread == pytest.approx(math.sqrt(variance))
    outside = sum(w for r, w in zip(ratios, shares, strict=True) if abs(r - 1) > 0.2)
    assert found["ratio_outside"] == pytest.approx(outside)


def test_in_half_precision_the_terms_are_computed_in_fp32():
    log_probs, old, advantages, _ = (each.bfloat16() for each in tokens())
    found = policy.sapo(log_probs, old, advantages)
    assert found.dtype == torch.float32
    exact = policy.sapo(log_probs.double(), old.double(), advantages.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)
