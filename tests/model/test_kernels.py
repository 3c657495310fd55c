"""Attention kernels, as releases of torch offer them. CUDA's are asked for with tensors that have no
memory, which torch takes through the same choices on a machine without a GPU."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from qvl.model import kernels

LENGTHS = [5, 1, 9]


def record_by_record(query, key, value, bounds, scale, causal):
    """The attention of heads that have keys of their own."""
    assert key.shape[1] == query.shape[1]
    out = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        one: Any = [x[start:end].transpose(0, 1)[None] for x in (query, key, value)]
        seen = F.scaled_dot_product_attention(*one, is_causal=causal, scale=scale)
        out.append(seen[0].transpose(0, 1))
    return torch.cat(out)


# The signatures of these releases, whose kernels are replaced by a loop.


def of_2_10(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
    return record_by_record(q, k, v, cu_seq_q, q.shape[-1] ** -0.5, is_causal)


def of_2_11(
    q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)
):
    return record_by_record(q, k, v, cu_seq_q, scale, window_size == (-1, 0))


def of_2_12(
    q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None,
    window_size=(-1, -1), enable_gqa=False,
):  # fmt: skip
    times = q.shape[1] // k.shape[1]
    assert enable_gqa == (times > 1), "this release refuses unequal heads otherwise"
    k, v = (x.repeat_interleave(times, 1) for x in (k, v))
    return record_by_record(q, k, v, cu_seq_q, scale, window_size == (-1, 0))


@pytest.mark.parametrize("release", [of_2_10, of_2_11, of_2_12])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("groups", [2, 4])
def test_a_pack_attends_alike_in_every_release(monkeypatch, release, causal, groups):
    monkeypatch.setattr(kernels, "varlen_attn", release)
    query, key, value = (torch.randn(sum(LENGTHS), heads, 8) for heads in (4, groups, groups))
    bounds = kernels.Bounds.of(LENGTHS, LENGTHS, query.device)
    found = kernels.attend_packed(query, key, value, bounds, scale=0.3, causal=causal)
    every: Any = [x.repeat_interleave(4 // groups, 1) for x in (key, value)]
    expected = record_by_record(query, every[0], every[1], bounds.queries, 0.3, causal)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_this_release_takes_half_precision_on_a_gpu():
    if kernels.varlen_attn is None:
        pytest.skip("torch before 2.10")
    with FakeTensorMode():
        query, key, value = (
            torch.empty(sum(LENGTHS), heads, 64, device="cuda", dtype=torch.bfloat16)
            for heads in (4, 2, 2)
        )
        bounds = kernels.Bounds.of(LENGTHS, LENGTHS, query.device)
        assert kernels.has_varlen(query)
        found = kernels.attend_packed(query, key, value, bounds, scale=0.3, causal=True)
        assert found.shape == query.shape and found.dtype == query.dtype


class Calls(TorchFunctionMode):
    """Notes the heads of keys, and the arguments, that torch's attention gets."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.noted.append((args[1].shape[1], (kwargs or {}).get("enable_gqa")))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("dtype", "noted"), [(torch.float32, (4, False)), (torch.bfloat16, (2, True))]
)
def test_a_gpu_gets_heads_that_its_fast_kernel_takes(dtype, noted):
    """In fp32 only torch's memory-efficient kernel avoids all scores, which has no grouped heads."""
    with FakeTensorMode(), Calls() as calls:
        query, key, value = (
            torch.empty(1, heads, 32, 64, device="cuda", dtype=dtype) for heads in (4, 2, 2)
        )
        assert kernels.attend(query, key, value, scale=0.3).shape == query.shape
    assert calls.noted == [noted]


def test_grouped_heads_attend_as_repeated_ones():
    query, key, value = (torch.randn(2, heads, 9, 8) for heads in (4, 2, 2))
    every: Any = [x.repeat_interleave(2, 1) for x in (key, value)]
    expected = F.scaled_dot_product_attention(query, *every, is_causal=True, scale=0.3)
    torch.testing.assert_close(kernels.attend(query, key, value, scale=0.3), expected)


def test_images_of_all_sizes_attend_in_one_call_as_in_a_call_per_size(monkeypatch):
    from qvl.model.vision import Attention, _rope, _runs

    shape: Any = SimpleNamespace(hidden=32, heads=2, merge=2)
    layer, grids = Attention(shape), [(1, 4, 4), (1, 4, 4), (2, 2, 6), (1, 6, 4)]
    runs = _runs(grids)
    x = torch.randn(sum(images * rows * columns for images, rows, columns in runs), 32)
    expected = layer(x, runs, _rope(runs, shape, x.device))
    calls = []

    def once(*args, **kwargs):
        calls.append(args[3].diff().tolist())
        return of_2_12(*args, **kwargs)

    # inspect reads the signature of the release through functools.wraps
    monkeypatch.setattr(kernels, "varlen_attn", functools.wraps(of_2_12)(once))
    monkeypatch.setattr(kernels, "has_varlen", lambda query: True)
    found = layer(x, runs, _rope(runs, shape, x.device))
    assert calls == [[16, 16, 12, 12, 24]]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
