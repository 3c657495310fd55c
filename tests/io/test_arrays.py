"""A JSON array is split as a parser would, wherever its blocks happen to end."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qvl.errors import UserError
from qvl.io.arrays import split

VALUES = st.recursive(
    st.one_of(st.integers(), st.text(), st.sampled_from(['"[{,', '\\"', "\\\\", "]}"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


def blocks(data: bytes, size: int):
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    values=st.lists(VALUES, max_size=5), size=st.integers(1, 40), indent=st.sampled_from([None, 1])
)
def test_elements_equal_those_of_a_json_parser(values, size, indent):
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    found = [json.loads(element) for element in split(blocks(data, size), "x")]
    assert found == values
    if size < len(data):
        with pytest.raises(UserError, match="cut short"):
            list(split(blocks(data[:-1], size), "x"))


def test_an_element_over_many_blocks_takes_nearly_linear_time():
    element = json.dumps({"image": "A" * 20_000_000}).encode()
    assert len(list(split(blocks(b"[" + element + b"]", 1 << 17), "x"))) == 1
