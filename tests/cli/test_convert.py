"""`qvl convert` through a shell, and its output in the loaders of other projects."""

import io
import json
from typing import Any

import orjson
import pytest
from shells import shell


def rows(sh, line: str) -> list[dict]:
    done = sh(line)
    assert done.returncode == 0, done.stderr
    return [orjson.loads(row) for row in done.stdout.splitlines()]


def test_one_side_must_be_another_format(sh):
    done = sh("qvl convert records.jsonl.zst")
    assert done.returncode == 2
    assert "give --from FORMAT or --to FORMAT" in done.stderr


def test_an_unknown_format_is_an_error_that_lists_the_known_ones(sh):
    done = sh("qvl convert --to sharegpt records.jsonl.zst")
    assert done.returncode == 2
    assert "the formats are qvl, openai, ms-swift" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["openai", "ms-swift", "llama-factory", "llava", "trl", "trl-prompt", "verl", "hf-parquet"],
)
def test_the_sample_records_are_converted_there_and_back(sh, tmp_path, name):
    condition = 'id != "chat-1"' if name == "llava" else 'id != ""'  # llava has no system turn
    sh(f"qvl select '{condition}' records.jsonl.zst -o in.zst")
    assert sh(f"qvl convert --think-tags --to {name} in.zst -o there").returncode == 0
    found = rows(sh, f"qvl convert --think-tags --from {name} there --media-dir m --plain")
    given = rows(sh, "qvl cat --plain in.zst")
    assert [row["id"] for row in found] == [row["id"] for row in given]
    for row in (*found, *given):
        for message in row["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part["type"] == "image":
                    part["image"] = (tmp_path / part["image"]).read_bytes()
    assert found == given


def test_what_is_lost_is_counted_with_lossy(sh):
    done = sh(
        "qvl convert --to llava --lossy records.jsonl.zst -o x.json --report r.json; cat r.json"
    )
    assert done.returncode == 0
    assert "a system turn 1" in done.stderr
    assert "reasoning_content" in json.loads(done.stdout)["notes"]["lost"]


def test_without_lossy_the_first_loss_stops_with_one_line_and_no_file(sh):
    done = sh("qvl convert --to llava records.jsonl.zst -o y.json")
    assert done.returncode == 2
    line = "records.jsonl.zst:7: record 'chat-1': llava cannot hold a system turn"
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sh("ls y.json").returncode != 0


def test_a_rejected_record_is_not_counted_as_a_loss(sh):
    line = "qvl convert --to llava --on-error reject --rejects r.zst records.jsonl.zst -o y.json"
    done = sh(line)
    assert "8 kept, 2 rejected (cannot-convert 2)" in done.stderr
    assert "lost" not in done.stderr
    kinds = rows(sh, "qvl cat --plain r.zst")
    assert [row["id"] for row in kinds] == ["chat-1", "logic-1"]
    assert "cannot hold" in kinds[0]["reject"]["detail"]


def test_new_ids_are_the_same_in_each_shard_and_unique_over_files(sh):
    turn = '{"conversations":[{"from":"human","value":"x"}]}'
    sh(f"for n in 1 2 3; do echo '{turn}'; done > a.jsonl; cp a.jsonl b.x.jsonl")
    whole = [row["id"] for row in rows(sh, "qvl convert --from llava a.jsonl b.x.jsonl --plain")]
    assert whole == [f"{name}-{n:06d}" for n, name in enumerate("aaabbb", start=1)]
    parts = [
        [
            r["id"]
            for r in rows(sh, f"qvl convert --from llava a.jsonl b.x.jsonl --plain --shard {n}/2")
        ]
        for n in (1, 2)
    ]
    assert [parts[0], parts[1]] == [whole[::2], whole[1::2]]
    assert rows(sh, "cat a.jsonl | qvl convert --from llava --plain")[2]["id"] == "row-000003"


def test_parquet_needs_a_file(sh):
    assert "use -o FILE" in sh("qvl convert --to verl records.jsonl.zst").stderr
    assert sh("cat records.jsonl.zst | qvl convert --from verl").returncode == 2
    done = sh("qvl convert --from verl records.jsonl.zst -o x.zst")
    assert (done.returncode, "not a parquet file" in done.stderr) == (2, True)


def test_a_missing_medium_is_an_error_of_its_record(sh):
    sh("mv images/seven.png gone.png")
    done = sh("qvl convert --to verl records.jsonl.zst -o x.parquet; ls x.parquet*")
    assert "records.jsonl.zst:3: row 'ocr-1': image" in done.stderr
    assert done.stdout == ""
    line = "qvl convert --to verl --on-error reject --rejects r.zst records.jsonl.zst -o x.parquet"
    assert "9 kept, 1 rejected" in sh(line).stderr


def test_media_are_written_beside_the_stream_and_named_by_their_content(sh, tmp_path):
    sh("qvl convert --to hf-parquet --lossy records.jsonl.zst -o x.parquet; mkdir sub")
    for line, folder in (
        ("-o sub/y.jsonl.zst", "y-media"),
        ("-o sub/z.jsonl.zst --media-dir sub/a/b", "a/b"),
    ):
        done = sh(f"qvl convert --from hf-parquet x.parquet {line}")
        assert done.returncode == 0, done.stderr
        written = sorted((tmp_path / "sub" / folder).iterdir())
        assert [path.suffix for path in written] == [".png"] * 3
        output = line.split()[1]
        assert sh(f"qvl check --media {output}").returncode == 0
    assert "--media-dir" in sh("qvl convert --from hf-parquet x.parquet").stderr


def test_datasets_decodes_the_images_of_hf_parquet(sh, tmp_path):
    import datasets

    assert sh("qvl convert --to hf-parquet records.jsonl.zst -o x.parquet").returncode == 0
    loaded: Any = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=str(tmp_path), split="train"
    )
    row = next(row for row in loaded if row["id"] == "ocr-1")
    assert row["images"][0].size == (64, 64)
    assert row["messages"][0]["content"][0]["type"] == "image"
    assert (row["task"], row["source"]) == ("ocr", "demo/digit")


def test_datasets_and_pandas_read_verl_parquet(sh, tmp_path):
    import datasets
    import pandas
    from PIL import Image

    assert sh("qvl convert --to verl records.jsonl.zst -o x.parquet").returncode == 0
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    row = frame[frame.data_source == "demo/digit"].iloc[0]
    assert row.reward_model["ground_truth"] == "7"
    assert row.prompt[0]["content"] == "<image>Which digit is this?"
    assert Image.open(io.BytesIO(row.images[0]["bytes"])).size == (64, 64)
    assert row.extra_info["index"] == 3
    loaded: Any = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=str(tmp_path), split="train"
    )
    assert len(loaded) == 10


@pytest.mark.parametrize(
    "name", ["openai", "ms-swift", "llama-factory", "llava", "trl", "trl-prompt"]
)
def test_datasets_reads_the_json_formats(sh, tmp_path, name):
    import datasets

    assert (
        sh(f"qvl convert --lossy --plain --to {name} records.jsonl.zst -o x.json").returncode == 0
    )
    loaded: Any = datasets.load_dataset(
        "json", data_files=str(tmp_path / "x.json"), cache_dir=str(tmp_path), split="train"
    )
    assert loaded[2]["id"] == "ocr-1"


def test_lineage_travels_inside_parquet(sh):
    sh("qvl cat records.jsonl.zst | qvl convert --to verl -o x.parquet --media-root .")
    done = sh("qvl convert --from verl x.parquet --media-dir m | qvl lineage --json")
    commands = [orjson.loads(line)["command"] for line in done.stdout.splitlines()]
    assert commands == ["convert", "convert", "cat"]


def test_an_empty_stream_is_converted_to_each_format(sh):
    sh("qvl select 'id == 0' records.jsonl.zst -o none.zst")
    for name in ("verl", "hf-parquet", "llava", "trl"):
        assert sh(f"qvl convert --to {name} none.zst -o none").returncode == 0
        assert rows(sh, f"qvl convert --from {name} none --plain") == []


def test_a_big_array_is_read_element_by_element(sh, tmp_path):
    array = [
        {"id": str(i), "conversations": [{"from": "human", "value": 'a "[{," \\ b' * 20}]}
        for i in range(20_000)
    ]
    (tmp_path / "big.json").write_text(json.dumps(array, indent=1))
    done = sh("qvl convert --from llava big.json | zstdcat | wc -l")
    assert done.stdout.strip() == "20000"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"id":"a"', "cut short after element 0"),
        ('[{"conversations":[]}, {"x"', "cut short after element 1"),
        ('[{"conversations":[{"from":"human","value":"x"}]}] more', "something follows"),
    ],
)
def test_a_broken_array_is_an_error(sh, tmp_path, text, why):
    (tmp_path / "x.json").write_text(text)
    done = sh("qvl convert --from llava x.json --on-error reject --rejects r.zst")
    assert done.returncode == 2
    assert why in done.stderr


def test_the_format_is_detected_and_a_wrong_one_is_named(tmp_path):
    sh = shell(tmp_path)
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
    (tmp_path / "llava.json").write_text(json.dumps([{"image": "a.png", "conversations": turns}]))
    swift = {
        "messages": [
            {"role": "user", "content": "<image>What?"},
            {"role": "assistant", "content": "A cat."},
        ],
        "images": ["a.png"],
    }
    (tmp_path / "swift.jsonl").write_text(json.dumps(swift) + "\n")
    for name in ("llava.json", "swift.jsonl"):
        done = sh(f"qvl convert --from auto --task vqa --source s --answer final --plain {name}")
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert [record[field] for field in ("task", "source", "answer")] == ["vqa", "s", "A cat."]
        assert record["messages"][0]["content"][0] == {"type": "image", "image": "a.png"}
    done = sh("qvl convert --from openai swift.jsonl --plain")
    assert done.returncode == 2 and "it looks like ms-swift" in done.stderr
    assert "try --from ms-swift" in done.stderr and done.stdout == ""
    done = sh("qvl convert --from qvl --to openai swift.jsonl --plain")
    assert done.returncode == 2 and "try --from ms-swift" in done.stderr
