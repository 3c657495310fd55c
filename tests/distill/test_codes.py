"""A teacher's top-k as text: what comes back, how much is lost, and how few bytes it takes."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qvl.distill import codes
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.losses.divergence import top_k_divergence

TOKENS, VOCABULARY, K = 128, 151_936, 64


@functools.cache
def peaked(seed: int, tokens: int = TOKENS, vocabulary: int = VOCABULARY) -> np.ndarray:
    """(tokens, vocabulary) log-probs: rare tokens by Zipf's law, and a few likely ones."""
    draw = np.random.default_rng(seed)
    logits = 2 * draw.normal(size=(tokens, vocabulary)) - np.log(np.arange(1, vocabulary + 1))
    logits[np.arange(tokens), draw.integers(0, min(5000, vocabulary), tokens)] += 14 * draw.random(
        tokens
    )
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def scattered(seed: int) -> np.ndarray:
    """The worst case: any token may be likely, and the ids have no order."""
    logits = 2 * np.random.default_rng(seed).normal(size=(TOKENS, VOCABULARY))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def best(log_probs: np.ndarray, k: int = K) -> codes.TopK:
    ids = np.argpartition(-log_probs, k, 1)[:, :k]
    found = np.take_along_axis(log_probs, ids, 1)
    return codes.TopK(ids, found, 1 - np.exp(found).sum(1), log_probs[:, 0])


def test_ids_come_back_and_log_probs_within_half_a_code():
    exact = best(peaked(0))
    back = codes.decode(codes.encode(exact))
    order, other = np.argsort(exact.ids, 1), np.argsort(back.ids, 1)
    assert (np.take_along_axis(exact.ids, order, 1) == np.take_along_axis(back.ids, other, 1)).all()
    found = codes.rounding(exact, codes.encode(exact))
    assert found.entries == TOKENS * K and found.tokens == TOKENS
    assert found.largest < 1 / 64  # half a code, and the scale that makes them add up to 1
    assert found.error / found.entries < 0.005
    assert 0 <= found.divergence / found.tokens < 1e-5
    np.testing.assert_allclose(np.exp(back.log_probs).sum(1) + back.tail, 1)
    np.testing.assert_allclose(back.sampled, exact.sampled, atol=0.5 / 1024 + 1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_loss_from_what_is_stored_is_within_a_thousandth_of_the_exact_one(beta):
    exact = best(peaked(0))
    back = codes.decode(codes.encode(exact))
    student = torch.from_numpy(peaked(1))
    losses = [
        top_k_divergence(
            student.gather(1, torch.from_numpy(each.ids)),
            torch.from_numpy(each.log_probs),
            torch.from_numpy(each.tail),
            beta,
        ).mean()
        for each in (exact, back)
    ]
    assert losses[0] > 0.1
    assert abs(losses[0] - losses[1]) < 1e-3


@pytest.mark.parametrize(("kind", "most"), [(peaked, 2.5), (scattered, 3.0)])
def test_an_entry_takes_at_most_three_bytes_after_zstd(kind, most, tmp_path):
    path = tmp_path / "teacher.jsonl.zst"
    jsonl.write([{"id": "a", "teacher": codes.encode(best(kind(0)))}], str(path))
    assert path.stat().st_size / (TOKENS * K) <= most
    (read,) = jsonl.read(str(path))
    assert (codes.decode(read["teacher"]).ids < VOCABULARY).all()


@given(
    st.lists(
        st.lists(st.floats(-600, 0.0), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_any_log_probs_come_back_in_order(rows):
    log_probs = np.asarray(rows)
    ids = np.tile(np.asarray([262_143, 0, 4096]), (len(rows), 1))
    tail = np.clip(1 - np.exp(log_probs).sum(1), 0, 1)
    fields = codes.encode(codes.TopK(ids, log_probs, tail, log_probs[:, 0]))
    back = codes.decode(fields)
    assert sorted(back.ids[0].tolist()) == [0, 4096, 262_143]
    assert (np.diff(back.log_probs, axis=1) <= 0).all()
    stored = codes.encode(codes.TopK(back.ids, -np.cumsum(np.ones_like(back.ids), 1), tail, tail))
    assert codes.decode(stored).ids.tolist() == back.ids.tolist()


def test_an_engine_that_rounds_a_log_prob_above_0_leaves_a_probability():
    found = codes.of_arrays([[5, 7]], [[1e-7, -20.0]], [1e-7])
    back = codes.decode(codes.encode(found))
    assert back.tail[0] > 0 and math.exp(back.log_probs[0, 0]) <= 1
    assert np.isfinite(back.log_probs).all()


def test_without_a_top_k_only_the_sampled_tokens_are_stored():
    fields = codes.encode(codes.of_arrays([], [], [-1.0, -2.0]))
    assert fields["ids"] == fields["log_probs"] == ""
    assert codes.decode(fields).sampled.tolist() == [-1.0, -2.0]


def test_what_is_damaged_or_out_of_range_is_an_error():
    fields = codes.encode(best(peaked(0, 2, 600), 4))
    for name, value in (("ids", fields["ids"][:-1]), ("log_probs", ""), ("ids", "?" * 24)):
        with pytest.raises(UserError, match="damaged"):
            codes.decode({**fields, name: value})
    with pytest.raises(UserError, match="token id"):
        codes.encode(codes.of_arrays([[1 << 18]], [[-1.0]], [-1.0]))
    with pytest.raises(UserError, match="finite"):
        codes.encode(codes.of_arrays([[1]], [[float("nan")]], [-1.0]))
