"""A loss that is stated as terms of each log-prob: its gradient is that of torch on whole logits,
and is computed on the spot."""

import pytest
import test_log_probs
import torch
import torch.distributed as dist
from test_log_probs import (
    CHUNKED,
    ROWS,
    TEMPERATURE,
    THREE_ROWS,
    gradients,
    whole,
)

from qvl.losses import log_probs as module
from qvl.losses import policy
from qvl.losses.log_probs import Vocabulary, log_probs, log_probs_and_entropy

POLICIES = {"sapo": policy.sapo, "grpo": policy.grpo}


def inputs(dtype):
    """Weights of the loss that make it a mean, as that of a mini-batch is."""
    hidden, weight, labels, weights = test_log_probs.inputs(dtype)
    return hidden, weight, labels, weights / ROWS


def columns(old: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Old log-probs near those given, and advantages of both signs and 0."""
    draw = torch.Generator().manual_seed(2)
    advantages = torch.tensor([1.5, -0.7, 0.0]).repeat(ROWS // 3)
    return old + 0.5 * torch.randn(ROWS, generator=draw), advantages


def stated(name, hidden, weight, labels):
    """Terms of rows, whose old log-probs are near those of the model."""
    old, advantages = columns(whole(hidden, weight, labels))
    return lambda found, rows: POLICIES[name](found, old[rows], advantages[rows])


@pytest.fixture
def products(monkeypatch):
    """Counts how often logits are computed."""
    count = [0]
    plain = module.chunks

    def counted(*args):
        count[0] += 1
        return plain(*args)

    monkeypatch.setattr(module, "chunks", counted)
    return count


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("weighted", [True, False])
def test_the_gradient_is_that_of_torch_and_the_logits_are_computed_once(name, weighted, products):
    hidden, weight, labels, weights = inputs(torch.float32)
    terms = stated(name, hidden, weight, labels)
    own = weights if weighted else torch.ones(ROWS)

    def mine(h, w):
        found = log_probs(h, w, labels, weights if weighted else None, CHUNKED, terms=terms)
        return policy.loss(terms(found, slice(None)), own)

    def plain(h, w):
        return policy.loss(terms(whole(h, w, labels), slice(None)), own)

    got = gradients(hidden, weight, mine)
    for each, expected in zip(got, gradients(hidden, weight, plain), strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-5, atol=1e-6)
    assert products == [1]


def test_another_use_than_the_stated_terms_has_the_right_gradient(products):
    hidden, weight, labels, _ = inputs(torch.float32)
    terms = stated("sapo", hidden, weight, labels)
    got = gradients(
        hidden,
        weight,
        lambda h, w: log_probs(h, w, labels, None, CHUNKED, terms=terms).square().sum(),
    )
    expected = gradients(hidden, weight, lambda h, w: whole(h, w, labels).square().sum())
    for mine, plain in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)
    assert products == [2]


@pytest.mark.parametrize("use_entropy", [False, True])
def test_the_entropy_comes_from_the_same_logits_and_may_be_used(use_entropy, products):
    hidden, weight, labels, weights = inputs(torch.float32)
    terms = stated("sapo", hidden, weight, labels)
    seen = []

    def reduce(found, entropy):
        seen.append(entropy.detach())
        bonus = entropy.square().sum() if use_entropy else 0
        return policy.loss(terms(found, slice(None)), weights) + bonus

    def plain(h, w):
        every = (h @ w.T).log_softmax(1)
        return reduce(whole(h, w, labels), -(every.exp() * every).sum(1))

    got = gradients(
        hidden,
        weight,
        lambda h, w: reduce(
            *log_probs_and_entropy(h, w, labels, CHUNKED, weights=weights, terms=terms)
        ),
    )
    for mine, expected in zip(got, gradients(hidden, weight, plain), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*seen)
    assert products == [1 + use_entropy]


def test_slopes_that_cancel_are_still_a_multiple_of_what_was_stated(products):
    hidden, weight, labels, _ = inputs(torch.float32)
    weights = torch.ones(ROWS)
    weights[: ROWS // 2] = -1
    weights[-1] = 0  # their sum is 0
    got = gradients(
        hidden, weight, lambda h, w: (log_probs(h, w, labels, weights, CHUNKED) * weights).sum() / 7
    )
    plain = gradients(hidden, weight, lambda h, w: (whole(h, w, labels) * weights).sum() / 7)
    for mine, expected in zip(got, plain, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)
    assert products == [1]


def test_advantages_of_0_give_a_gradient_of_0_and_compute_the_logits_once(products):
    hidden, weight, labels, _ = inputs(torch.float32)
    old, nothing = whole(hidden, weight, labels), torch.zeros(ROWS)

    def mine(h, w):
        terms = lambda found, rows: policy.sapo(found, old[rows], nothing[rows])  # noqa: E731
        return terms(log_probs(h, w, labels, None, CHUNKED, terms=terms), slice(None)).sum()

    loss, to_hidden, to_weight = gradients(hidden, weight, mine)
    assert loss == 0 and not to_hidden.any() and not to_weight.any()
    assert products == [1]


@pytest.mark.parametrize("on_the_spot", [True, False])
@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_costs_no_gradient(on_the_spot, frozen, monkeypatch):
    hidden, weight, labels, weights = inputs(torch.float32)
    _, to_hidden, to_weight = gradients(
        hidden, weight, lambda h, w: (whole(h, w, labels) * weights).sum()
    )
    learnt = {"hidden": weight, "weight": hidden}[frozen].requires_grad_()
    made = []
    plain = module.Gradient
    monkeypatch.setattr(module, "Gradient", lambda *args: made.append(plain(*args)) or made[-1])
    found = log_probs(hidden, weight, labels, weights if on_the_spot else None, CHUNKED)
    (found * weights).sum().backward()
    assert [getattr(each, frozen) for each in made] == [None]
    expected = {"hidden": to_weight, "weight": to_hidden}[frozen]
    torch.testing.assert_close(learnt.grad, expected, rtol=1e-5, atol=1e-6)


def shared_terms() -> dict:
    """What one of two ranks finds that share the vocabulary."""
    hidden, weight, labels, weights = inputs(torch.float32)
    mine = weight.chunk(2)[dist.get_rank()]
    shared = Vocabulary(TEMPERATURE, dist.group.WORLD, THREE_ROWS // 2)
    found = {}
    for name in POLICIES:
        terms = stated(name, hidden / TEMPERATURE, weight, labels)

        def loss(h, w, terms=terms):
            values, _ = log_probs_and_entropy(h, w, labels, shared, weights=weights, terms=terms)
            return policy.loss(terms(values, slice(None)), weights)

        found[name] = gradients(hidden, mine, loss)
    return found


def test_ranks_that_share_the_vocabulary_find_the_gradient_of_one_alone(ranks):
    hidden, weight, labels, weights = inputs(torch.float32)
    results = ranks(2, shared_terms)
    for name in POLICIES:
        terms = stated(name, hidden / TEMPERATURE, weight, labels)
        loss, to_hidden, to_weight = gradients(
            hidden,
            weight,
            lambda h, w, terms=terms: policy.loss(
                terms(whole(h / TEMPERATURE, w, labels), slice(None)), weights
            ),
        )
        for found, share in zip(results, to_weight.chunk(2), strict=True):
            torch.testing.assert_close(found[name][0], loss)
            torch.testing.assert_close(found[name][1], to_hidden, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found[name][2], share, rtol=1e-5, atol=1e-6)
