"""Rows that are malformed, contradict themselves or exceed a format are named; none is a crash."""

import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import SAMPLES, read, write

from qvl.errors import UserError
from qvl.formats.context import CannotConvert
from qvl.record import check


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "no answer"}],
        [{"role": "assistant", "content": "no question"}],
        [{"role": "user", "content": "x"}] * 2 + [{"role": "assistant", "content": "y"}] * 2,
    ],
)
def test_rows_that_llama_factory_would_empty_are_named(messages):
    with pytest.raises(CannotConvert, match="cannot hold turns that do not alternate"):
        write("llama-factory", {"id": "a", "messages": messages})
    if len(messages) == 1 and messages[0]["role"] == "user":  # a ranking answers itself
        more = {"chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}
        assert write("llama-factory", {"id": "a", "messages": messages, **more})["chosen"]


@pytest.mark.parametrize(
    ("name", "message", "what"),
    [
        ("llava", {"role": "system", "content": "x"}, "a system turn"),
        ("llava", {"role": "assistant", "content": [{"type": "image", "image": "a"}]}, "an? image"),
        ("llava", {"role": "assistant", "content": "", "tool_calls": []}, "tool_calls"),
        ("ms-swift", {"role": "assistant", "content": "", "reasoning_content": "r"}, "reasoning"),
        ("ms-swift", {"role": "user", "content": "say <image>"}, "the words <image>"),
        ("trl", {"role": "user", "content": [{"type": "video", "video": "a"}]}, "a video"),
        ("hf-parquet", {"role": "assistant", "content": "", "loss": False}, "'loss' of a message"),
    ],
)
def test_what_a_format_cannot_hold_is_named_with_the_record(name, message, what):
    record = {"id": "r1", "messages": [message]}
    with pytest.raises(CannotConvert, match=f"record 'r1': {name} cannot hold {what}"):
        write(name, record)
    assert write(name, record, lossy=True)


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("ms-swift", {"messages": [{"role": "user", "content": "<image>"}]}, "1 <image>.*0 images"),
        (
            "ms-swift",
            {"messages": [{"role": "user", "content": "<video>x<video>"}], "videos": ["a"]},
            "2 <video> in the text, but 1 videos",
        ),
        ("llava", {"conversations": [], "image": ["a", "b"]}, "0 <image> in the text, but 2"),
        ("llava", {"conversations": [], "image": "a", "images": ["a"]}, "both image and images"),
        ("ms-swift", {"query": "x"}, "no messages"),
        ("ms-swift", {"messages": [{"role": "tool_call", "content": "x"}]}, "a tool call is not"),
        ("llava", {"conversations": [{"from": "cat", "value": "x"}]}, "a turn from 'cat'"),
        (
            "openai",
            {"messages": [{"role": "user", "content": [{"type": "audio"}]}]},
            "type 'audio'",
        ),
        ("trl", {"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "1 <image>.*0"),
        ("hf-parquet", {"level": 3}, "no messages, conversations, prompt or question in id, level"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(name, row, why):
    with pytest.raises(CannotConvert, match="row 'r1': .*" + why):
        read(name, {"id": "r1", **row})


def test_columns_that_are_not_json_are_converted_or_named(tmp_path):
    row = {
        **SAMPLES["hf-parquet"],
        "mask": {"bytes": b"\xff\xd8\xffdata", "path": None},
        "day": datetime.date(2025, 1, 2),
        "weight": float("nan"),
        "level": None,
    }
    record = read("hf-parquet", row, media_dir=tmp_path / "media")
    assert (tmp_path / record["mask"]).read_bytes() == b"\xff\xd8\xffdata"
    assert Path(record["mask"]).suffix == ".jpg"
    assert (record["day"], record["weight"]) == ("2025-01-02", None)
    assert "level" not in record
    with pytest.raises(CannotConvert, match="cannot hold Decimal in a column"):
        read("hf-parquet", {**row, "price": Decimal("1.5")}, media_dir=tmp_path / "media")


LEAVES = st.one_of(
    st.none(),
    st.integers(-2, 9),
    st.text(max_size=4),
    st.sampled_from(["<image>", "user", "human", "function_call", "text", "image", "tool_call"]),
)
NAMES = [
    "role",
    "content",
    "from",
    "value",
    "type",
    "text",
    "image",
    "image_url",
    "url",
    "bytes",
    "path",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "reasoning_content",
    "id",
    "messages",
    "conversations",
    "images",
    "video",
    "prompt",
    "completion",
    "system",
    "tools",
    "extra_info",
    "reward_model",
    "question",
    "qvl",
    "data_source",
    "ability",
]
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(row=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=5))
def test_no_row_is_a_crash(name, tmp_path, row):
    try:
        record = read(name, row, media_dir=tmp_path / "media")
        if check(record) is None:
            write(name, record, media_root=tmp_path)
    except UserError as error:
        assert str(error)
