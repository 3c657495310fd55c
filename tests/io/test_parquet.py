"""Parquet files appear as other outputs do."""

import pytest

from qvl.errors import UserError
from qvl.io import parquet


def writer(path):
    return parquet.Writer(
        str(path),
        lambda rows, arrow: arrow.schema([("id", arrow.string())]),
        lambda row, schema, arrow: row,
    )


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    output = writer(tmp_path / "link")
    output.write({"id": "a"})
    output.commit()
    assert (tmp_path / "link").is_symlink()
    assert [row["id"] for row in parquet.Reader(str(tmp_path / "target"))] == ["a"]


def test_an_aborted_file_leaves_nothing(tmp_path):
    output = writer(tmp_path / "x")
    output.write({"id": "a"})
    output.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_refused():
    with pytest.raises(UserError, match="use -o FILE"):
        writer("/dev/null")
