"""Records that leave as they came: what travels with them, and what a stage may do to them."""

import pickle

import orjson
import pytest

from qvl import stage
from qvl.io import jsonl, lines

ODD = {
    "spaces": b'{"id": "a", "n": [1, 2]}',
    "a key twice": b'{"id":"a","id":"b"}',
    "a number of many forms": b'{"id":"a","x":1.10,"y":1E3,"z":-0.0}',
    "escapes": rb'{"id":"\u00e9\/","t":"a\u0009b"}',
    "CRLF": b'{"id":"a"}\r',
    "a byte order mark": b'\xef\xbb\xbf{"id":"a"}',
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_the_line_is_what_the_record_is_written_as(line, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(line + b"\n")
    (record,) = jsonl.Reader(str(tmp_path / "in.jsonl")).as_read()
    assert (
        record.line == jsonl.encode(dict(record)) == orjson.dumps(orjson.loads(record.line)) + b"\n"
    )


def test_a_line_in_normal_form_is_written_byte_for_byte(sh, tmp_path):
    rows = [{"id": str(10**22 + n), "text": f"images/{10**21 + n}.png, {n / 7}"} for n in range(50)]
    text = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    (tmp_path / "in.jsonl").write_bytes(text)
    for command in ("cat", "select 'true'", "dedup --key text", "shuffle --buffer-mib 0.001"):
        done = sh(f"qvl {command} in.jsonl | zstdcat | sort | cmp - <(sort in.jsonl)")
        assert done.returncode == 0, command


def test_a_copy_has_no_line_and_is_encoded_as_it_is():
    record = lines.as_read(b'{"id":"a"}\n')
    assert type(record) is lines.AsRead
    for changed in ({**record, "n": 1}, record | {"n": 1}, record.copy() | {"n": 1}):
        assert jsonl.encode(changed) == b'{"id":"a","n":1}\n'
    sent = pickle.loads(pickle.dumps(record))
    assert type(sent) is dict and sent == record


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (b'{"id":"a"}\n', b'{"id":"a","reject":{"stage":"test","reason":"odd"}}\n'),
        (b'{"reject":1,"id":"a"}\n', b'{"reject":{"stage":"test","reason":"odd"},"id":"a"}\n'),
        (b"{}\n", b'{"reject":{"stage":"test","reason":"odd"}}\n'),
    ],
)
def test_a_reject_is_the_record_with_one_more_field(tmp_path, line, written):
    (tmp_path / "in.jsonl").write_bytes(line)
    paths = [str(tmp_path / name) for name in ("in.jsonl", "out.jsonl", "rejects.jsonl")]
    with stage.Run("test", paths[:1], paths[1], rejects=paths[2], plain=True) as run:
        run.write(stage.keep(run, lambda record: "odd"))
    assert (tmp_path / "rejects.jsonl").read_bytes() == written


def test_a_large_integer_is_told_from_one_in_a_string():
    large = b"18446744073709551616"
    for line in (
        b'{"id":"a: %s, b"}' % large,
        b'{"id":"a\\\\\\": -%s"}' % large,
        b'{"id":"x","n":%s.5}' % large,
        b'{"id":"x","n":%se2,"m":18446744073709551615}' % large,
        b'{"id":"' + large * 3 + b'"}',
    ):
        assert lines.parse(line, "f", 1) is not None
    for line in (b'{"id":"a: %s","n": %s}' % (large, large), b'{"id":"\\\\","n":[1,-%s]}' % large):
        with pytest.raises(lines.BadLine, match="beyond 64 bits"):
            lines.parse(line, "f", 1)
