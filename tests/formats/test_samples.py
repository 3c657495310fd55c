"""Rows from the documentation of each format become records, and are written as they were."""

import json

import orjson
import pyarrow
import pytest
from PIL import Image
from samples import SAMPLES, read, write

from qvl import formats
from qvl.formats.context import CannotConvert, Context
from qvl.formats.likely import likely
from qvl.record import check, images, question


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_of_the_format_becomes_a_sound_record(name, tmp_path):
    before = orjson.dumps(SAMPLES[name], default=repr)
    record = read(name, SAMPLES[name], media_dir=tmp_path / "media")
    assert check(record) is None
    assert question(record).strip() == "What is it?"
    assert record["id"] in ("set-000003", "000")
    if name != "trl-prompt":
        (reference,) = images(record)
        assert reference == "x.png" or (tmp_path / reference).read_bytes() == b"\x89PNG data"
    assert "A cat." in orjson.dumps(record).decode()
    assert orjson.dumps(SAMPLES[name], default=repr) == before  # a row that is refused stays whole


@pytest.mark.parametrize("name", ["openai", "ms-swift", "llava", "trl"])
def test_a_row_that_was_read_is_written_as_it_was(name):
    row = {"id": "a", **SAMPLES[name]}
    again = write(name, read(name, row))
    if name == "trl":  # text in one part is read as a string, and written as a part beside images
        assert orjson.loads(orjson.dumps(again)) == row
    assert again == row


def test_verl_keeps_what_its_rewards_read(tmp_path):
    row = {**SAMPLES["verl"], "agent_name": "tool_agent"}
    record = read("verl", row, media_dir=tmp_path / "media")
    assert record["extra_info"] == row["extra_info"]
    verl = formats.get("verl")
    written = write("verl", record, media_root=tmp_path)
    schema = verl.schema([written], pyarrow)
    written = verl.fit(written, schema, pyarrow)
    kept = written["extra_info"].pop("qvl")
    assert written["extra_info"] == row["extra_info"]
    assert written["agent_name"] == "tool_agent"
    assert written["images"][0]["bytes"] == b"\x89PNG data"
    assert "tool_agent" not in kept  # held once


def test_a_later_row_of_another_type_is_kept_as_json():
    verl = formats.get("verl")
    given = [
        {"id": str(n), "messages": [{"role": "user", "content": "x"}], "level": level}
        for n, level in enumerate([1, 2, "hard", 2.5, True, {"a": 1}])
    ]
    rows = [write("verl", record) for record in given]
    schema = verl.schema(rows[:2], pyarrow)
    rows = [verl.fit(row, schema, pyarrow) for row in rows]
    back = pyarrow.Table.from_pylist(rows, schema=schema).to_pylist()
    assert [row["level"] for row in back] == [1, 2, None, None, None, None]
    found = [read("verl", row) for row in back]
    assert [orjson.dumps(f, option=orjson.OPT_SORT_KEYS) for f in found] == [
        orjson.dumps(g, option=orjson.OPT_SORT_KEYS) for g in given
    ]


AGENT = {
    "id": "a",
    "messages": [
        {"role": "user", "content": "Weather in A and B?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": f"call_{city}",
                    "type": "function",
                    "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'},
                }
                for city in "AB"
            ],
        },
        {"role": "tool", "content": "sun"},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "Sun and rain."},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}],
}


def test_calls_are_written_as_ms_swift_documents_them():
    row = write("ms-swift", AGENT)
    assert [turn["role"] for turn in row["messages"]] == [
        "user",
        "tool_call",
        "tool_call",
        "tool",
        "tool",
        "assistant",
    ]
    content = '{"name":"weather","arguments":{"city":"A"}}'
    assert row["messages"][1] == {"role": "tool_call", "content": content, "id": "call_A"}
    assert isinstance(row["tools"], str)
    assert read("ms-swift", row) == AGENT


def test_calls_are_written_as_llama_factory_takes_them():
    row = write("llama-factory", AGENT)
    turns = row["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "function_call", "observation", "gpt"]
    calls = orjson.loads(turns[1]["value"])
    assert [call["arguments"]["city"] for call in calls] == ["A", "B"]
    assert turns[2]["value"] == "sun\n</tool_response>\n<tool_response>\nrain"
    assert read("llama-factory", row) == AGENT


def test_a_thought_before_a_call_stays_there():
    value = '<think>\nLook.\n</think>\n\n{"name":"zoom","arguments":{}}'
    turns = [
        {"from": "human", "value": "?"},
        {"from": "function_call", "value": value},
        {"from": "observation", "value": "!"},
        {"from": "gpt", "value": "7"},
    ]
    row = {"id": "a", "conversations": turns}
    record = read("llama-factory", row, think_tags=True)
    assert record["messages"][1]["reasoning_content"] == "Look."
    assert write("llama-factory", record, think_tags=True) == row
    assert write("llama-factory", read("llama-factory", row)) == row


@pytest.mark.parametrize("name", ["ms-swift", "llama-factory", "trl", "hf-parquet"])
def test_tools_may_be_json_text_or_empty(name):
    row = {key: value for key, value in SAMPLES[name].items() if not key.startswith("image")}
    if name in ("ms-swift", "trl"):
        row["messages"] = [{"role": "user", "content": "What is it?"}]
    if name == "llama-factory":
        row["conversations"] = [{"from": "human", "value": "What is it?"}]
    schemas = [{"type": "function", "function": {"name": "zoom"}}]
    for text, expected in ((json.dumps(schemas), schemas), ("", None)):
        record = read(name, {**row, "tools": text})
        assert record.get("tools") == expected
        assert check(record) is None


def test_boxes_of_ms_swift_are_filled_in_as_thousandths_of_their_image(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    context = Context(media_root=tmp_path)
    row = {
        "messages": [
            {"role": "user", "content": "<image>Find every <ref-object>."},
            {"role": "assistant", "content": '[{"bbox_2d": <bbox>, "label": "<ref-object>"}]'},
        ],
        "images": ["a.png"],
        "objects": {"ref": ["goat", "goat"], "bbox": [[8, 6, 32, 24]]},
    }
    swift = formats.get("ms-swift")
    user, answer = swift.to_record(row, context)["messages"]
    assert user["content"][1]["text"] == "Find every goat."
    assert answer["content"] == '[{"bbox_2d": [125, 125, 500, 500], "label": "goat"}]'
    row["objects"] = {"ref": ["x", "y"], "bbox": [[0.5, 0.25]], "bbox_type": "norm1"}
    assert "[500, 250]" in swift.to_record(row, context)["messages"][1]["content"]
    for objects, words in (
        ({"ref": ["goat"], "bbox": [[8, 6, 32, 24]]}, "more <ref-object>"),
        ({"ref": ["x", "y"], "bbox": []}, "more <bbox>"),
        ({"ref": ["x", "y"], "bbox": [[1, 2, 3, 4]] * 2}, "1 <bbox> in the text, but 2 boxes"),
        ({"ref": ["x", "y"], "bbox": [["1", 2, 3, 4]]}, "2 or 4 numbers"),
        ({"ref": ["x", "y"], "bbox": [[1, 2, 3, 4]], "image_id": [3]}, "no image 3"),
    ):
        with pytest.raises(CannotConvert, match=words):
            swift.to_record({**row, "objects": objects}, context)


def test_a_line_break_beside_an_image_of_llava_is_no_text():
    turns = [{"from": "human", "value": "Look:\n<image>\nWhat?\n"}, {"from": "gpt", "value": "x\n"}]
    record = read("llava", {"id": "a", "image": "a.png", "conversations": turns})
    user, answer = record["messages"]
    assert [part.get("text") for part in user["content"]] == ["Look:", None, "What?\n"]
    assert answer["content"] == "x\n"


@pytest.mark.parametrize(("name", "row"), SAMPLES.items())
def test_every_sample_looks_like_its_own_format(name, row):
    found = likely(row)
    assert name in found or name == "hf-parquet" or not found


def test_a_row_of_another_format_is_named():
    assert likely(SAMPLES["llava"] | {"image": "a.png"}) == ["llava"]
    swift = {"messages": [{"role": "user", "content": "<image>x"}], "images": ["a"]}
    assert "openai" not in likely(swift) and "qvl" not in likely(swift)
    assert likely({"text": "x"}) == likely(["x"]) == []
