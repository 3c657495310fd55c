"""Packs lose nothing, never overflow, and are nearly full."""

import random

import pytest

from qvl.pack import bins


def packed(lengths, capacity, open_tokens=bins.OPEN_TOKENS):
    items = ((number, length) for number, length in enumerate(lengths))
    return list(bins.pack(items, capacity, open_tokens))


def test_every_item_is_in_one_pack_and_none_overflows():
    lengths = [random.Random(1).randint(1, 100) for _ in range(5000)]
    packs = packed(lengths, 100)
    assert sorted(item for pack in packs for item in pack) == list(range(5000))
    assert max(sum(lengths[item] for item in pack) for pack in packs) <= 100


def test_efficiency_is_high():
    draw = random.Random(2)
    lengths = [min(32768, int(draw.lognormvariate(7, 1.2)) + 1) for _ in range(50_000)]
    packs = packed(lengths, 32768)
    assert sum(lengths) / (len(packs) * 32768) > 0.99


def test_held_tokens_are_bounded():
    draw = random.Random(3)
    lengths = (draw.randint(51, 100) for _ in range(10_000))  # no two fit together
    packs = bins.pack(((0, length) for length in lengths), 100, open_tokens=1000)
    first = [next(packs) for _ in range(100)]
    assert len(first) == 100
    assert next(lengths)  # the stream has not been read to its end to yield the first packs


def test_an_item_that_does_not_fit_is_a_bug():
    with pytest.raises(ValueError, match="101"):
        packed([101], 100)
