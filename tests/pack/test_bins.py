"""Packs lose nothing, never overflow, and are nearly full."""

import random

import pytest

from qvl.pack import bins


def packed(lengths, capacity, pool_tokens=bins.POOL_TOKENS):
    items = ((number, length) for number, length in enumerate(lengths))
    return list(bins.pack(items, capacity, pool_tokens))


def test_every_item_is_in_one_pack_and_none_overflows():
    lengths = [random.Random(1).randint(1, 100) for _ in range(5000)]
    packs = packed(lengths, 100)
    assert sorted(item for pack in packs for item in pack) == list(range(5000))
    assert max(sum(lengths[item] for item in pack) for pack in packs) <= 100


@pytest.mark.parametrize(
    ("shortest", "mu", "sigma"),
    [(16, 6.5, 1.3), (200, 6.5, 1.3), (128, 7, 1), (16, 8, 1), (1, 6.9, 0.5)],
)
def test_packs_are_nearly_full_whatever_the_lengths(shortest, mu, sigma):
    draw = random.Random(2)
    lengths = [
        min(32_768, max(shortest, int(draw.lognormvariate(mu, sigma)))) for _ in range(120_000)
    ]
    packs = packed(lengths, 32_768)
    possible = -(-sum(lengths) // 32_768)
    assert len(packs) <= possible / 0.9995 + 1  # the last pack is what is left


def test_lengths_that_leave_gaps_are_combined():
    assert packed([60, 35, 25, 15], 100) == [[0, 2, 3], [1]]  # not 60 and 35
    assert packed([50, 30, 26, 24, 40, 30], 100) == [[0, 2, 3], [4, 1, 5]]  # not 50 and 40


def test_a_shuffled_stream_gives_mixed_packs():
    """Short items of two lengths, as two tasks have them: each pack has many of both."""
    draw = random.Random(6)
    lengths = [draw.choice([19, 41]) for _ in range(20_000)]
    packs = packed(lengths, 1024)
    shares = [sum(lengths[item] == 41 for item in pack) / len(pack) for pack in packs]
    assert min(shares) > 0.1 and max(shares) < 0.9


def test_packs_depend_on_the_stream_alone():
    lengths = [random.Random(4).randint(1, 100) for _ in range(3000)]
    assert packed(lengths, 100, 700) == packed(lengths, 100, 700)


def test_held_tokens_are_bounded():
    draw = random.Random(3)
    lengths = (draw.randint(51, 100) for _ in range(10_000))  # no two fit together
    packs = bins.pack(((0, length) for length in lengths), 100, pool_tokens=1000)
    first = [next(packs) for _ in range(100)]
    assert len(first) == 100
    assert len(list(lengths)) > 10_000 - 100 - 1000 / 50  # nothing was read ahead of the pool


def test_the_pool_holds_no_more_than_it_says():
    draw, pool = random.Random(5), bins.Pool(100)
    for number in range(2000):
        pool.add(number, draw.randint(1, 100))
        before = pool.held
        if pool.held > 500:
            pool.pack()
            assert before - 100 <= pool.held <= before - 50
    while pool:
        pool.pack()
    assert pool.held == 0


def test_an_item_that_does_not_fit_is_a_bug():
    with pytest.raises(ValueError, match="101"):
        packed([101], 100)
