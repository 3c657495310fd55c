"""Bodies that are parsed while they arrive, against orjson on the whole."""

import random
import tracemalloc

import fuzzed
import orjson
import pytest

from qvl.engines.serving import json_body
from qvl.engines.serving.json_body import JsonBody, NotJson, TooLarge

CHARACTERS = 'abc,:[]{}" \\/\n\t\x7f\u00e9\u0645\u65e5\ud55c\U0001f600\U0001d54f'


def parsed(content, choose=None):
    """The value of a body that arrives in pieces of any length."""
    body, at = JsonBody(), 0
    while at < len(content):
        size = choose.choice((1, 2, 7, 40, 300)) if choose else 1 << 16
        body.feed(content[at : at + size])
        at += size
    return body.finish()


def text(choose):
    return "".join(choose.choices(CHARACTERS, k=choose.choice((0, 1, 5, 15, 16, 17, 33, 200))))


def value(choose, depth=0):
    kind = choose.randrange(6) if depth < 4 else choose.randrange(3)
    if kind < 2:
        return text(choose)
    if kind == 2:
        return choose.choice((None, True, -1.5e300, 7, [], {}))
    inner = [value(choose, depth + 1) for _ in range(choose.randrange(5))]
    return inner if kind == 3 else {str(i): each for i, each in enumerate(inner)}


def written(choose, one):
    """JSON with some characters as escapes, which orjson does not write."""
    content = orjson.dumps(one).decode()
    escaped = "".join(
        "".join(f"\\u{unit:04X}" for unit in units(each))
        if ord(each) > 0x7F and choose.random() < 0.5
        else each
        for each in content
    )
    return escaped.encode()


def units(character):
    content = character.encode("utf-16-be")
    return [int.from_bytes(content[at : at + 2]) for at in range(0, len(content), 2)]


@pytest.fixture
def small(monkeypatch):
    """Strings of 16 bytes are long ones."""
    monkeypatch.setattr(json_body, "PIECE", 16)
    monkeypatch.setattr(json_body, "JOINED", 40)


def test_a_body_in_pieces_is_what_orjson_reads(small):
    choose = random.Random(7)
    for _ in range(400):
        content = written(choose, value(choose))
        assert parsed(content, choose) == orjson.loads(content)


def test_a_broken_body_is_refused_where_orjson_refuses_it(small):
    choose = random.Random(8)
    refused = 0
    for _ in range(800):
        content = fuzzed.mutated(written(choose, [value(choose), text(choose)]), choose)
        try:
            expected = orjson.loads(content)
        except orjson.JSONDecodeError:
            refused += 1
            with pytest.raises(NotJson):
                parsed(content, choose)
        else:
            assert parsed(content, choose) == expected
    assert refused > 100


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b"a" * 40,
        b'"' + b"a" * 40 + b"\\q" + b'"',
        b'"' + b"a" * 40 + b"\\uD83D" + b'"',
        b'"' + b"a" * 40 + b"\n" + b'"',
        b'"' + b"\x80" * 40 + b'"',
        b'"' + b"a" * 40 + b'" "' + b"a" * 40 + b'"',
        b'["' + b"a" * 40 + b'"',
    ],
)
def test_a_long_string_that_is_broken_is_refused(small, content):
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(content)
    with pytest.raises(NotJson):
        parsed(content)


def test_no_step_is_longer_than_a_piece(monkeypatch):
    """So the event loop, which takes them, answers others in between."""
    sizes = []
    loads = orjson.loads

    def measured(content):
        sizes.append(len(content))
        return loads(content)

    monkeypatch.setattr(json_body.orjson, "loads", measured)
    long = "A" * (1 << 20)
    messages = [{"role": "user", "content": f"{long}\n"}, {"role": "user", "content": long}]
    body = orjson.dumps({"messages": messages})
    assert parsed(body) == loads(body)
    assert max(sizes) <= json_body.PIECE + 2 < len(body) // 100


def test_a_long_string_is_in_memory_once():
    size = 1 << 25
    unit = b"A" * (1 << 16)
    body = JsonBody()
    tracemalloc.start()
    body.feed(b'["')
    for _ in range(size // len(unit)):
        body.feed(unit)
    body.feed(b'"]')
    (found,) = body.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == size
    assert peak < 1.25 * size


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" + b"0," * 40 + b"0]", "40 JSON values"),
        (b'["' + b'","'.join([b"abcdefgh"] * 30) + b'"]', "MiB beside its strings"),
        ('["' + "a" * 30 + "\u00e9" * 30 + '"]', "not ASCII"),
        (b'{"' + b"a" * 40 + b'": 1}', "key"),
    ],
)
def test_beyond_a_limit_a_body_is_too_large(small, monkeypatch, content, words):
    monkeypatch.setattr(json_body, "MAX_VALUES", 40)
    monkeypatch.setattr(json_body, "MAX_REST", 200)
    monkeypatch.setattr(json_body, "MAX_WIDE", 50)
    with pytest.raises(TooLarge, match=words):
        parsed(content.encode() if isinstance(content, str) else content)


def test_a_text_that_looks_like_a_mark_is_a_text(small):
    body = JsonBody()
    content = orjson.dumps(["a" * 40, "0", body._mark])
    body.feed(content)
    assert body.finish() == ["a" * 40, "0", body._mark]
