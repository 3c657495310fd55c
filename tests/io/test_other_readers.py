"""Other programs read what qvl writes."""

import json
from typing import Any

import pytest


@pytest.fixture
def stream(sh, tmp_path):
    assert sh("qvl cat records.jsonl.zst | qvl cat -o out.jsonl.zst").returncode == 0
    return tmp_path / "out.jsonl.zst"


def test_zstd_reads_it(sh, stream):
    done = sh("zstd -dc out.jsonl.zst | jq -r .id | tail -1")
    assert (done.returncode, done.stdout) == (0, "chat-3\n")


def test_pandas_reads_it(stream):
    import pandas

    frame = pandas.read_json(stream, lines=True)
    assert len(frame) == 10
    assert list(frame.task[:2]) == ["math", "math"]


def test_duckdb_reads_it(stream):
    import duckdb

    result: Any = duckdb.sql(f"select task, count(*) from read_json('{stream}') group by 1")
    assert dict(result.fetchall())["chat"] == 3


def test_datasets_reads_it(sh, stream, tmp_path):
    """Arrow wants one type a field: select what has it, as messages and answers here do not."""
    import datasets

    line = "qvl select 'task == \"math\"' out.jsonl.zst -o math.jsonl.zst"
    assert sh(line).returncode == 0
    loaded: Any = datasets.load_dataset(
        "json",
        data_files=str(tmp_path / "math.jsonl.zst"),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert [row["id"] for row in loaded] == ["math-1", "math-2"]


def test_plain_python_reads_it(sh, stream):
    done = sh("zstd -dc out.jsonl.zst")
    assert json.loads(done.stdout.splitlines()[0])["id"] == "math-1"
