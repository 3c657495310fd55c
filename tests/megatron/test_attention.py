"""Packed attention by FlashAttention's plan equals that of the rectangles, forwards and backwards.

A CPU has no such kernel, so a loop stands in for it here, which does what its documentation says;
tests/gpu has the kernel itself.
"""

import os
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

LENGTHS = [5, 1, 14, 3, 9]  # 32 tokens, so that two ranks cut inside of records


def by_the_book(
    query, key, value, queries, keys, most, most_keys, *, scale, window_size, enable_gqa
):
    """varlen_attn, record by record."""
    assert window_size == (-1, 0) and enable_gqa
    assert queries.dtype == keys.dtype == torch.int32
    assert (most, most_keys) == (queries.diff().max(), keys.diff().max())
    assert (queries[-1], keys[-1]) == (len(query), len(key))
    out = []
    for (a, b), (c, d) in zip(pairwise(queries.tolist()), pairwise(keys.tolist()), strict=True):
        times = query.shape[1] // key.shape[1]
        one, two = (x[c:d].repeat_interleave(times, 1) for x in (key, value))
        scores = torch.einsum("qhd,khd->hqk", query[a:b], one) * scale
        unseen = torch.ones(b - a, d - c, dtype=torch.bool).triu(d - c - (b - a) + 1)
        shares = scores.masked_fill(unseen, -torch.inf).softmax(-1)
        out.append(torch.einsum("hqk,khd->qhd", shares, two))
    return torch.cat(out)


def attended(layout):
    """What comes of random queries, keys and values, and their gradients, in both ways."""
    from megatron.core import parallel_state

    from qvl.megatron import attention, context_parallel, parallel
    from qvl.model import kernels
    from qvl.model.layout import parse_layout

    parallel.start(parse_layout(layout))
    assert (os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS") == "1") == bool(layout)
    size = parallel_state.get_context_parallel_world_size()
    rank = parallel_state.get_context_parallel_rank()
    device = torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    own = context_parallel.own_tokens(sum(LENGTHS))
    whole = [torch.randn(sum(LENGTHS), 1, heads, 8, generator=generator) for heads in (4, 2, 2)]
    plan = attention.segments(LENGTHS, device, rank, size)
    layer = attention.PackedAttention(SimpleNamespace(kv_channels=8), 1, None, "self")
    found = []
    for varlen in (False, True):
        kernels.has_varlen = lambda query, varlen=varlen: varlen
        kernels.varlen_attn = by_the_book
        mine = [each[own].requires_grad_() for each in whole]
        out = layer(*mine, packed_seq_params=plan)
        out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(rank)))
        found.append([out.detach(), *(each.grad for each in mine)])
    parallel.finish()
    return found


@pytest.mark.parametrize(("count", "layout"), [(1, ""), (2, "cp=2")])
def test_the_plan_for_the_kernel_is_that_of_the_rectangles(ranks, count, layout):
    for plain, varlen in ranks(count, attended, layout):
        for one, other in zip(plain, varlen, strict=True):
            assert (one - other).abs().max() < 1e-5
