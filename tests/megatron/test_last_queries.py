"""Attention of a record's last queries, in two calls, is that under the mask."""

import pytest
import torch
import torch.nn.functional as F

from qvl.megatron import last_queries


@pytest.mark.parametrize("queries", [1, 70, 199, 200])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_answers_and_gradients_are_those_under_a_mask(queries, groups):
    torch.manual_seed(0)
    heads, keys, width = 4, 200, 16
    found = []
    given = [torch.randn(n, size, width) for n, size in ((queries, heads), (keys, groups)) * 2]
    query, key, grad, value = (x.transpose(0, 1) for x in given)
    for masked in (True, False):
        leaves = [x.detach().requires_grad_() for x in (query, key, value)]
        if masked:
            seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
            whole = [x.repeat_interleave(heads // len(x), dim=0) for x in leaves]
            weights = (0.3 * whole[0] @ whole[1].mT).masked_fill(~seen, -torch.inf).softmax(-1)
            out = weights @ whole[2]
        else:
            out = last_queries.attend(leaves[0], leaves[1], leaves[2], 0.3)
        out.backward(grad)
        found.append([out, *(leaf.grad for leaf in leaves)])
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=2e-6)


def test_in_bf16_three_roundings_part_it_from_the_exact_answer():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, n, 32).bfloat16() for n in (60, 100, 100))
    seen = torch.ones(60, 100, dtype=torch.bool).tril(40)
    exact = F.scaled_dot_product_attention(query.double(), key.double(), value.double(), seen)
    ours = last_queries.attend(query, key, value, 32**-0.5)
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).abs().max() < 3 * 2**-9 * exact.abs().max()  # both answers', their sum's
