"""Rows as the neighbours' documents show them, and what their own loaders make of what we write."""

import io
import json
from typing import Any

import orjson
import pytest

from qvl import formats
from qvl.formats.trade import Lost, Trade

SAMPLES = {
    "openai": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "x.png", "detail": "low"}},
                ],
            },
            {"role": "assistant", "content": "A cat."},
        ]
    },
    "ms-swift": {
        "messages": [
            {"role": "user", "content": "<image>What is it?"},
            {"role": "assistant", "content": "A cat."},
        ],
        "images": ["x.png"],
        "rejected_response": "A dog.",
    },
    "llama-factory": {
        "conversations": [
            {"from": "human", "value": "<image>What is it?"},
            {"from": "gpt", "value": "A cat."},
        ],
        "system": "",
        "tools": "",
        "images": ["x.png"],
    },
    "llava": {
        "id": "000",
        "image": "x.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "A cat."},
        ],
    },
    "trl": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        ],
        "images": ["x.png"],
    },
    "trl-prompt": {"prompt": "What is it?", "completion": "A cat."},
    "verl": {
        "data_source": "hiyouga/geometry3k",
        "prompt": [{"role": "user", "content": "<image>What is it?"}],
        "images": [{"bytes": b"\x89PNG data", "path": None}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "A cat."},
        "extra_info": {"split": "train", "index": 7, "answer": "A cat.", "question": "What?"},
    },
    "hf-parquet": {
        "image": {"bytes": b"\x89PNG data", "path": "x.png"},
        "question": "What is it?",
        "answer": "A cat.",
    },
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_of_the_format_becomes_a_sound_record(name, tmp_path):
    from qvl.record import check, images, question

    trade = Trade(media_dir=tmp_path / "media", stem="set")
    trade.begin(SAMPLES[name])
    record = formats.get(name).to_record(dict(SAMPLES[name]), trade)
    assert check(record) is None
    assert question(record).strip() == "What is it?"
    assert record["id"] in ("set-000001", "000")
    if name != "trl-prompt":
        (reference,) = images(record)
        assert reference == "x.png" or (tmp_path / reference).read_bytes() == b"\x89PNG data"
    assert "A cat." in orjson.dumps(record).decode()


def test_foreign_fields_go_through_and_come_back(tmp_path):
    trade = Trade()
    module = formats.get("ms-swift")
    record = module.to_record(dict(SAMPLES["ms-swift"]), trade)
    assert record["rejected_response"] == "A dog."
    assert module.to_row(record, trade)["rejected_response"] == "A dog."


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [{"role": "user", "content": "<image>"}]}, "more <image> than images"),
        ({"messages": [{"role": "user", "content": "x"}], "images": ["a"]}, "more images than"),
        ({"query": "x"}, "no messages"),
        ({"messages": [{"role": "tool_call", "content": "x"}]}, "a tool call is not"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(row, why):
    trade = Trade()
    trade.begin(row)
    with pytest.raises(Lost, match=why):
        formats.get("ms-swift").to_record(row, trade)


def test_what_is_lost_is_counted_with_lossy(sh):
    done = sh("qvl convert --to llava --lossy records.jsonl.zst -o x.json")
    assert done.returncode == 0
    assert "lost " in done.stderr
    assert "a system turn 1" in done.stderr
    assert "reasoning_content" in done.stderr
    done = sh("qvl convert --to llava records.jsonl.zst -o y.json; ls y.json")
    assert "records.jsonl.zst:7: record 'chat-1': llava cannot hold a system turn" in done.stderr
    assert done.stdout == ""


def test_an_unknown_format_is_named_with_the_known_ones(sh):
    done = sh("qvl convert --to sharegpt records.jsonl.zst")
    assert done.returncode == 2
    assert "there are qvl, openai, ms-swift" in done.stderr


def test_parquet_needs_a_file(sh):
    assert "name a file with -o FILE" in sh("qvl convert --to verl records.jsonl.zst").stderr
    assert sh("cat records.jsonl.zst | qvl convert --from verl").returncode == 2


def test_datasets_decodes_the_images_of_hf_parquet(sh, tmp_path):
    import datasets

    line = "qvl convert --to hf-parquet --on-error reject --rejects r.zst records.jsonl.zst -o x.parquet"
    assert sh(line).returncode == 0
    loaded: Any = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=str(tmp_path), split="train"
    )
    row = next(row for row in loaded if row["id"] == "ocr-1")
    assert row["images"][0].size == (64, 64)
    assert row["messages"][0]["content"][0]["type"] == "image"


def test_datasets_and_pandas_read_verl_parquet(sh, tmp_path):
    import pandas
    from PIL import Image

    assert sh("qvl convert --to verl records.jsonl.zst -o x.parquet").returncode == 0
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    row = frame[frame.data_source == "demo/digit"].iloc[0]
    assert row.reward_model["ground_truth"] == "7"
    assert row.prompt[0]["content"] == "<image>Which digit is this?"
    assert Image.open(io.BytesIO(row.images[0]["bytes"])).size == (64, 64)


def test_lineage_travels_inside_parquet(sh):
    sh("qvl cat records.jsonl.zst | qvl convert --to verl -o x.parquet --media-root .")
    done = sh("qvl convert --from verl x.parquet --media-dir m | qvl lineage --json")
    commands = [orjson.loads(line)["command"] for line in done.stdout.splitlines()]
    assert commands == ["convert", "convert", "cat"]


def test_a_big_array_is_read_element_by_element(sh, tmp_path):
    rows = [
        {"id": str(i), "conversations": [{"from": "human", "value": 'a "[{," \\ b' * 20}]}
        for i in range(20_000)
    ]
    (tmp_path / "big.json").write_text(json.dumps(rows, indent=1))
    done = sh("qvl convert --from llava big.json | zstdcat | wc -l")
    assert done.stdout.strip() == "20000"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"id":"a"', "cut short after element 0"),
        ('[{"conversations":[]}, {"x"', "cut short after element 1"),
        ('[{"conversations":[]}] more', "something follows"),
    ],
)
def test_a_broken_array_is_an_error(sh, tmp_path, text, why):
    (tmp_path / "x.json").write_text(text)
    done = sh("qvl convert --from llava x.json --on-error reject --rejects r.zst")
    assert done.returncode == 2
    assert why in done.stderr
