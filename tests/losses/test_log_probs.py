"""Chunked log-probs, entropy and top-k against torch on whole logits: values, gradients, ranks."""

import pytest
import torch
from torch import Tensor

from qvl.losses.log_probs import Vocabulary, log_probs, log_probs_and_entropy, top_k

ROWS, WIDTH, VOCABULARY = 21, 8, 30
THREE_ROWS = 3 * 4 * VOCABULARY  # bytes of their logits: the last of the chunks is not full
CHUNKED = Vocabulary(chunk_bytes=THREE_ROWS)


def inputs(dtype=torch.float64):
    torch.manual_seed(0)
    hidden = torch.randn(ROWS, WIDTH, dtype=dtype)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype)
    return hidden, weight, torch.randint(VOCABULARY, (ROWS,)), torch.rand(ROWS) + 0.1


def gradients(hidden: Tensor, weight: Tensor, reduce) -> tuple[Tensor, Tensor, Tensor]:
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = reduce(hidden, weight)
    loss.backward()
    assert hidden.grad is not None and weight.grad is not None
    return loss.detach(), hidden.grad, weight.grad


def whole(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    return -torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none")


@pytest.mark.parametrize("stated", [True, False])
def test_it_equals_torch_whether_or_not_the_weights_are_stated(stated):
    hidden, weight, labels, weights = inputs(torch.float32)
    own = weights if stated else None
    got = gradients(
        hidden,
        weight,
        lambda h, w: (log_probs(h, w, labels, own, CHUNKED) * weights).sum() / 7,
    )
    wanted = gradients(hidden, weight, lambda h, w: (whole(h, w, labels) * weights).sum() / 7)
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6)


def test_other_uses_of_the_log_probs_than_the_stated_one_have_the_right_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    got = gradients(
        hidden,
        weight,
        lambda h, w: log_probs(h, w, labels, weights, CHUNKED).square().sum(),
    )
    wanted = gradients(hidden, weight, lambda h, w: whole(h, w, labels).square().sum())
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_a_second_backward_gives_the_same_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    weight.requires_grad_()
    loss = (log_probs(hidden, weight, labels, weights) * weights).sum()
    first = torch.autograd.grad(loss, weight, retain_graph=True)[0].clone()
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], first)


def test_no_target_token_is_no_loss_and_no_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    got = gradients(hidden[:0], weight, lambda h, w: log_probs(h, w, labels[:0], weights[:0]).sum())
    assert got[0] == 0 and not got[2].any()


def test_in_bf16_many_chunks_round_the_gradient_of_the_weight_no_more_than_one():
    torch.manual_seed(0)
    rows = 512
    hidden = torch.rand(rows, WIDTH, dtype=torch.bfloat16)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=torch.bfloat16)
    labels, weights = torch.randint(VOCABULARY, (rows,)), torch.ones(rows)
    (exact,) = gradients(hidden.double(), weight.double(), lambda h, w: whole(h, w, labels).sum())[
        2:
    ]
    (found,) = gradients(
        hidden,
        weight,
        lambda h, w: log_probs(h, w, labels, weights, Vocabulary(chunk_bytes=4 * VOCABULARY)).sum(),
    )[2:]
    assert (found - exact).norm() / exact.norm() < 2**-8


def shared_vocabulary() -> dict[str, Tensor]:
    """What one of two ranks finds that share the vocabulary."""
    import torch.distributed as dist

    hidden, weight, labels, weights = inputs(torch.float32)
    half = VOCABULARY // dist.get_world_size()
    shared = Vocabulary(group=dist.group.WORLD, chunk_bytes=THREE_ROWS // 2)
    mine = weight[half * dist.get_rank() : half * (dist.get_rank() + 1)]
    found = {}
    for name, own in (("stated", weights), ("not stated", None)):
        found[name] = gradients(
            hidden,
            mine,
            lambda h, w, own=own: (log_probs(h, w, labels, own, shared) * weights).sum(),
        )
    return found


def test_ranks_that_share_the_vocabulary_find_what_one_alone_does(ranks):
    hidden, weight, labels, weights = inputs(torch.float32)
    loss, to_hidden, to_weight = gradients(
        hidden, weight, lambda h, w: (whole(h, w, labels) * weights).sum()
    )
    for found, share in zip(ranks(2, shared_vocabulary), to_weight.chunk(2), strict=True):
        for got in found.values():
            torch.testing.assert_close(got[0], loss)
            torch.testing.assert_close(got[1], to_hidden, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(got[2], share, rtol=1e-5, atol=1e-6)


MANY = torch.randint(VOCABULARY, (ROWS, 3), generator=torch.Generator().manual_seed(1))
TEMPERATURE = 0.7


def non_linear(log_probs: Tensor, entropy: Tensor) -> Tensor:
    """A use of both, of which no weights could be stated."""
    return (log_probs.exp() * log_probs).sum() + entropy.square().sum()


def naive(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probs (R, 3) and entropy (R,) of whole logits."""
    every = (hidden @ weight.T / TEMPERATURE).log_softmax(1)
    return every.gather(1, MANY), -(every.exp() * every).sum(1)


def test_several_tokens_at_a_temperature_and_the_entropy_equal_torch():
    hidden, weight, *_ = inputs(torch.float32)
    vocabulary = Vocabulary(TEMPERATURE, None, THREE_ROWS)
    found = log_probs_and_entropy(hidden, weight, MANY, vocabulary)
    torch.testing.assert_close(found, naive(hidden, weight), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(log_probs(hidden, weight, MANY, None, vocabulary), found[0])
    got = gradients(
        hidden, weight, lambda h, w: non_linear(*log_probs_and_entropy(h, w, MANY, vocabulary))
    )
    wanted = gradients(hidden, weight, lambda h, w: non_linear(*naive(h, w)))
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_weights_stated_at_a_temperature_have_the_right_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    vocabulary = Vocabulary(TEMPERATURE, None, THREE_ROWS)
    got = gradients(
        hidden,
        weight,
        lambda h, w: (log_probs(h, w, labels, weights, vocabulary) * weights).sum(),
    )
    wanted = gradients(
        hidden, weight, lambda h, w: (whole(h / TEMPERATURE, w, labels) * weights).sum()
    )
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_a_loss_of_the_entropy_alone_has_its_gradient():
    hidden, weight, *_ = inputs(torch.float32)
    vocabulary = Vocabulary(TEMPERATURE, None, THREE_ROWS)
    got = gradients(
        hidden, weight, lambda h, w: log_probs_and_entropy(h, w, MANY, vocabulary)[1].sum()
    )
    wanted = gradients(hidden, weight, lambda h, w: naive(h, w)[1].sum())
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_the_likeliest_tokens_are_those_of_torch():
    hidden, weight, *_ = inputs(torch.float32)
    values, ids = top_k(hidden, weight, 5, Vocabulary(TEMPERATURE, None, THREE_ROWS))
    expected = (hidden @ weight.T / TEMPERATURE).log_softmax(1).topk(5)
    torch.testing.assert_close(values, expected.values, rtol=1e-5, atol=1e-5)
    assert torch.equal(ids, expected.indices)


def shared_distributions() -> tuple:
    """Log-probs, entropy and top-k with gradients, on one of two ranks that share the vocabulary."""
    import torch.distributed as dist

    hidden, weight, *_ = inputs(torch.float32)
    mine = weight.chunk(2)[dist.get_rank()]
    vocabulary = Vocabulary(TEMPERATURE, dist.group.WORLD, THREE_ROWS // 2)
    found = log_probs_and_entropy(hidden, mine, MANY, vocabulary)
    best = top_k(hidden, mine, 20, vocabulary)  # more than a rank has
    grads = gradients(
        hidden, mine, lambda h, w: non_linear(*log_probs_and_entropy(h, w, MANY, vocabulary))
    )
    return found, best, grads


def test_ranks_that_share_the_vocabulary_have_the_distributions_of_one_alone(ranks):
    hidden, weight, *_ = inputs(torch.float32)
    expected = naive(hidden, weight)
    loss, to_hidden, to_weight = gradients(hidden, weight, lambda h, w: non_linear(*naive(h, w)))
    best = (hidden @ weight.T / TEMPERATURE).log_softmax(1).topk(20)
    results = ranks(2, shared_distributions)
    for (found, (values, ids), grads), share in zip(results, to_weight.chunk(2), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(values, best.values, rtol=1e-5, atol=1e-5)
        assert torch.equal(ids, best.indices)
        torch.testing.assert_close(grads[0], loss)
        torch.testing.assert_close(grads[1], to_hidden, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(grads[2], share, rtol=1e-5, atol=1e-5)
