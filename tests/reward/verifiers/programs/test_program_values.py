"""When a result equals the expected one, and what a comparison may cost."""

import json
import time
from typing import Any

import pytest

from qvl.reward.verifiers.programs import runner, values


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        (3, 3, True),
        (3, 3.0, True),
        (0.1 + 0.2, 0.3, True),
        (0.3001, 0.3, False),
        (10**30, 10**30 + 1, False),
        (10**400, 1.0, False),
        (True, 1, False),
        (1, True, False),
        (None, False, False),
        ("1", 1, False),
        ((1, 2), [1, 2], True),
        ([1, 2], [2, 1], False),
        ({1, 2}, [2, 1], True),
        ({1, 2}, [1, 1], False),
        ({(1, 2)}, [[1, 2]], True),
        ({1: (2,)}, {"1": [2]}, True),
        (range(3), [0, 1, 2], True),
        (float("nan"), float("nan"), True),
        ("abc", ["a", "b", "c"], False),
        ([], {}, False),
        (3.0, 3, True),
        (2.9999999999, 3, True),
        (1e16, 10**16 + 1, False),
        (1e18, 10**18, True),
        (123456700.0, 123456789, False),
        (float("inf"), 3, False),
        (1.6e-19, 9.1e-31, False),
        (0.0, 1.6e-19, False),
        (1e-16, 0.0, True),
        ([6.1e-17, -1.0], [0.0, -1.0], True),
        ({False, True}, [0, 1], False),
        ({0, 1}, [False, True], False),
        ({False, True}, [True, False], True),
        ({0.5, 99.0}, [0.5, 0.7], False),
        ({0.5, 0.5000001}, [0.5, 7.0], False),
        ({0.1 + 0.2, 1.5}, [1.5, 0.3], True),
        ({(0.1 + 0.2, "b"), (0.3, "a")}, [[0.3, "a"], [0.3, "b"]], True),
        ({(0.1 + 0.2, "b"), (0.3, "c")}, [[0.3, "a"], [0.3, "b"]], False),
        ({1, "1"}, [1, "1"], True),
        ({1, "1"}, ["1", "1"], False),
        ({None, 1}, [None, 1], True),
        ({frozenset({1}), frozenset({2})}, [[2], [1]], True),
        ({1: 4, "1": 5}, {"1": 5}, False),
        ({1: 4, "1": 5}, {"1": 5, "2": 4}, False),
        ({True: 1, None: 2, 1.5: 3}, {"true": 1, "null": 2, "1.5": 3}, True),
        ({True: 1}, {"1": 1}, False),
        ({(1, "a"): 2}, {"(1, 'a')": 2}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, ["a"], False),
        (b"a", "a", False),
        (1j, 1, False),
        (1, [1], False),
        ([1], 1, False),
        ("", None, False),
        (2**70, 2**70, True),
        (2**70 + 1, 2**70, False),
        (2**70, float(2**70), True),
    ],
)
def test_values_compare_by_the_rules(value: Any, expected: Any, same: bool):
    assert values.same(runner.encode(value), expected) is same


MODULUS = 2**61 - 1  # of Python's hash of integers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"set": [MODULUS * n for n in range(50_000)]}, list(range(50_000))),
        ({"dict": [[MODULUS * n, 0] for n in range(50_000)]}, {str(n): 0 for n in range(50_000)}),
        (
            {"set": [{"tuple": [MODULUS * n]} for n in range(50_000)]},
            [[n] for n in range(50_000)],
        ),
        (
            {"set": [{"list": [0.5, n]} for n in range(20_000)]},
            [[0.5, 1 + n] for n in range(20_000)],
        ),
        ({"range": [0, 10**18, 1]}, [1, 2]),
        ({"list": [{"range": [0, 10**9, 1]}] * 1000}, [[1]] * 1000),
        ({"int": "0x" + "f" * 5_000_000}, 3),
        ({"int": "0x" + "f" * 5_000_000}, 3.5),
    ],
)
def test_no_value_is_slow_to_compare(value: Any, expected: Any):
    begin = time.process_time()
    assert not values.same(json.loads(json.dumps(value)), expected)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "value",
    [
        {"set": [{"range": [0, 10**12, 1]}]},
        {"dict": [[{"int": "0x" + "f" * 1_000_000}, 1]]},
        {"dict": [[1]]},
        {"list": 3},
        {},
        {"int": "zz"},
    ],
)
def test_a_value_that_no_encoder_wrote_is_an_error(value: Any):
    with pytest.raises((ValueError, TypeError)):
        values.same(value, {"1": 1} if "dict" in value else [1])


def test_a_comparison_ends_at_its_deadline():
    with pytest.raises(values.TooSlow):
        values.same({"list": [{"list": []}]}, [[]], -1)


def test_a_value_of_many_more_bytes_than_the_expected_one_is_not_read():
    expected = list(range(100_000))
    assert not values.too_long(json.dumps(runner.encode(set(expected))).encode(), expected)
    assert values.too_long(b" " * 100_000, [1])


def test_a_value_is_shown_as_python_writes_it_and_cut():
    for value in (-1, "a", None, [1, (2.5, "b")], {1: {"c"}}):
        assert values.shown(runner.encode(value), 200) == repr(value)
    assert len(values.shown({"list": [1] * 1_000_000}, 200)) < 250
