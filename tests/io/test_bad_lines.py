"""How unusual JSON lines are read: the table in qvl-records(5)."""

import orjson
import pytest

ACCEPTED = {
    "a byte order mark at the start": b'\xef\xbb\xbf{"id":"a"}\n',
    "a byte order mark after a join": b'\n\xef\xbb\xbf{"id":"a"}\n',
    "CRLF": b'{"id":"a"}\r\n',
    "a blank line": b'\n{"id":"a"}\n  \n',
    "no newline at the end": b'{"id":"a"}',
    "a line of 2 MB": b'{"id":"' + b"x" * 2_000_000 + b'"}\n',
    "the largest integers": b'{"id":"a","n":18446744073709551615,"m":-9223372036854775808}\n',
    "a long number in a string": b'{"id":"98765432109876543210987"}\n',
    "254 levels": b'{"id":"a","x":' + b"[" * 252 + b"]" * 252 + b"}\n",
    "a field we do not know": b'{"id":"a","zebra":{"k":[1,2.5,null,true]}}\n',
}

REFUSED = {
    "NaN": (b'{"id":"a","x":NaN}\n', "NaN and Infinity are not JSON"),
    "invalid UTF-8": (b'{"id":"\xff"}\n', "not UTF-8"),
    "a lone surrogate": (b'{"id":"\\ud800"}\n', "not JSON"),
    "an integer beyond 64 bits": (b'{"id":"a","n":18446744073709551616}\n', "beyond 64 bits"),
    "a negative one": (b'{"id":"a","n":-9223372036854775809}\n', "beyond 64 bits"),
    "a list": (b"[1]\n", "expected an object, got a list"),
    "a number": (b"7\n", "expected an object, got a number"),
    "null": (b"null\n", "expected an object, got null"),
    "nesting 1,000 deep": (b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}\n", "nested deeper than"),
    "nesting 2,000 deep": (b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}\n", "nested deeper than"),
    "a cut line": (b'{"id":"a', "not JSON"),
}


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_is_accepted(sh, tmp_path, content):
    (tmp_path / "in.jsonl").write_bytes(content)
    done = sh("qvl cat --plain in.jsonl")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout) == orjson.loads(content.strip().removeprefix(b"\xef\xbb\xbf"))


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_is_refused_in_one_line(sh, tmp_path, content, why):
    (tmp_path / "in.jsonl").write_bytes(content)
    done = sh("qvl cat --plain in.jsonl")
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_can_be_rejected(sh, tmp_path, content, why):
    (tmp_path / "in.jsonl").write_bytes(content)
    done = sh("qvl cat --plain --on-error reject --rejects bad.jsonl in.jsonl")
    assert done.returncode == 0, done.stderr
    (bad,) = [orjson.loads(line) for line in (tmp_path / "bad.jsonl").read_bytes().splitlines()]
    assert why in bad["reject"]["detail"]
    assert len(bad["line"]) >= len(content.strip())


def test_duplicate_ids_are_found_by_check(sh, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"id":"a","messages":[{"role":"user","content":"x"}]}\n' * 2
    )
    done = sh("qvl check in.jsonl --rejects bad.jsonl --plain")
    assert done.returncode == 3
    assert "duplicate-id" in done.stderr
    assert "1 of 2 records are invalid" in done.stderr


def test_a_record_that_is_not_a_conversation_is_one_line_and_not_a_crash(sh, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a","messages":"hello"}\n')
    for command in ("filter-queries", "filter-responses", "score-responses"):
        done = sh(f"qvl {command} in.jsonl")
        assert done.returncode == 2, command
        assert done.stderr.startswith("qvl: error: in.jsonl:1: messages: expected a list"), command
        done = sh(f"qvl {command} in.jsonl --on-error reject --rejects bad.jsonl --plain")
        assert done.returncode == 0, done.stderr
        assert "unsound 1" in done.stderr


def test_a_large_integer_is_found_wherever_it_stands(tmp_path):
    from qvl.io import lines

    for number in ("9" * 20, "-9223372036854775809", "18446744073709551616"):
        for before in range(25):
            line = b'{"id":"%s","n":%s}' % (b"x" * before, number.encode())
            with pytest.raises(lines.BadLine, match="beyond 64 bits"):
                lines.parse(line, "f", 1)


def test_every_stage_rejects_a_record_too_deep_to_be_written(sh, tmp_path):
    deep = '{"id":"a","n":1,"x":' + "[" * 1000 + "]" * 1000 + "}"
    (tmp_path / "in.jsonl").write_text(deep + '\n{"id":"b","n":2}\n')
    aside = "--on-error reject --rejects bad.jsonl --plain"
    for command in ("cat", "select 'n > 0'", "shuffle", "mix --by n --ratio 2=1", "stats"):
        options = aside if command != "stats" else "--on-error reject --rejects bad.jsonl"
        done = sh(f"rm -f bad.jsonl; qvl {command} {options} in.jsonl")
        assert done.returncode == 0, done.stderr
        assert "too-deep 1" in done.stderr
        if command != "stats":
            (bad,) = [orjson.loads(x) for x in (tmp_path / "bad.jsonl").read_bytes().splitlines()]
            assert bad["line"] == deep
