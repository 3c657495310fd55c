"""Tables of values between tabs or commas, as pandas writes them."""

import gzip

import pandas
import pytest

from qvl.errors import UserError
from qvl.io import lines, tables

ROWS = {
    "index": ["1", "2"],
    "question": ['He said "go",\nand went\t.', "二, 三"],
    "image": ["QUJD" * 50_000, ""],
}


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("b.csv", ",")])
def test_what_pandas_writes_is_read_back(tmp_path, name, separator):
    pandas.DataFrame(ROWS).to_csv(tmp_path / name, sep=separator, index=False)
    reader = tables.Reader(str(tmp_path / name))
    assert list(reader) == [{k: v[at] for k, v in ROWS.items()} for at in range(2)]
    assert reader.sources[0]["records"] == 2


def test_a_packed_table_is_read_and_its_name_still_tells(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfa\tb\r\n1\t2\r\n\r\n3\t4\r\n"))
    assert tables.is_table(str(path))
    assert list(tables.Reader(str(path))) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_row_of_another_width_is_a_bad_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n1,2,3\n3,4\n")
    with pytest.raises(UserError, match=r"a\.csv:2: 3 values for 2 columns"):
        list(tables.Reader(str(path)))
    bad = []
    assert len(list(tables.Reader(str(path), bad.append))) == 2
    assert bad[0].line == b"1\t2\t3"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no columns"), (b"a,a\n", "twice"), (b"a,b\n\xff,1\n", "row 1 is not UTF-8")],
)
def test_a_table_that_is_none_is_named(tmp_path, content, words):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        list(tables.Reader(str(path)))


def test_a_quote_that_never_ends_does_not_take_the_whole_file_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1 << 20)
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,"' + b"x\n" * (1 << 20))
    with pytest.raises(UserError, match="row 1 is longer than 1 MiB; is a quote missing"):
        list(tables.Reader(str(path)))
