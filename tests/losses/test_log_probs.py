"""The chunked cross-entropy against torch's on whole logits: values, gradients, ranks, memory."""

import pytest
import torch
from torch import Tensor

from qvl.losses.cross_entropy import cross_entropy

ROWS, WIDTH, VOCABULARY = 21, 8, 30
THREE_ROWS = 3 * 4 * VOCABULARY  # bytes of their logits: the last of the chunks is not full


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
    return torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none")


@pytest.mark.parametrize("told", [True, False])
def test_it_equals_torch_whether_or_not_the_weights_are_told(told):
    hidden, weight, labels, weights = inputs(torch.float32)
    own = weights if told else None
    got = gradients(
        hidden,
        weight,
        lambda h, w: (cross_entropy(h, w, labels, own, chunk_bytes=THREE_ROWS) * weights).sum() / 7,
    )
    wanted = gradients(hidden, weight, lambda h, w: (whole(h, w, labels) * weights).sum() / 7)
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6)


def test_other_uses_of_the_losses_than_the_one_told_have_the_right_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    got = gradients(
        hidden,
        weight,
        lambda h, w: cross_entropy(h, w, labels, weights, chunk_bytes=THREE_ROWS).square().sum(),
    )
    wanted = gradients(hidden, weight, lambda h, w: whole(h, w, labels).square().sum())
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_a_second_way_back_gives_the_same_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    weight.requires_grad_()
    loss = (cross_entropy(hidden, weight, labels, weights) * weights).sum()
    first = torch.autograd.grad(loss, weight, retain_graph=True)[0].clone()
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], first)


def test_no_token_to_learn_is_no_loss_and_no_gradient():
    hidden, weight, labels, weights = inputs(torch.float32)
    got = gradients(
        hidden[:0], weight, lambda h, w: cross_entropy(h, w, labels[:0], weights[:0]).sum()
    )
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
        lambda h, w: cross_entropy(h, w, labels, weights, chunk_bytes=4 * VOCABULARY).sum(),
    )[2:]
    assert (found - exact).norm() / exact.norm() < 2**-8


def shared_vocabulary() -> dict[str, Tensor]:
    """What one of two ranks finds that share the vocabulary."""
    import torch.distributed as dist

    hidden, weight, labels, weights = inputs(torch.float32)
    half = VOCABULARY // dist.get_world_size()
    mine = weight[half * dist.get_rank() : half * (dist.get_rank() + 1)]
    found = {}
    for name, own in (("told", weights), ("untold", None)):
        found[name] = gradients(
            hidden,
            mine,
            lambda h, w, own=own: (
                cross_entropy(
                    h, w, labels, own, group=dist.group.WORLD, chunk_bytes=THREE_ROWS // 2
                )
                * weights
            ).sum(),
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
