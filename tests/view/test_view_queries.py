"""Filters and searches of a stream, as the page asks for them."""

import json
import random
import time
from pathlib import Path

import pytest

from qvl.errors import UserError
from qvl.streams.expression import Expression
from qvl.view.queries import Queries
from qvl.view.stream import Stream
from qvl.view.viewer import Viewer

WORDS = [
    "red",
    "Quadrat",
    "ÉTÉ",
    "été",
    "数学",
    'say "yes"',
    "a\\b",
    "line\nbreak",
    "Straße",
    "role",
]


def write(path: Path, records: list[dict]) -> str:
    # As other programs write: with spaces, and letters beyond ASCII escaped.
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> Stream:
    rng = random.Random(3)
    records = [
        {
            "id": f"r{n}",
            "task": rng.choice(["math", "ocr"]),
            "messages": [
                {"role": "user", "content": " ".join(rng.choices(WORDS, k=2))},
                {"role": "assistant", "content": [{"type": "text", "text": rng.choice(WORDS)}]},
            ],
            "responses": [{"content": "x", "reward": rng.random()}],
            "image": "data:image/png;base64,redQuadrat",
        }
        for n in range(2000)
    ]
    path = write(tmp_path_factory.mktemp("queries") / "in.jsonl", records)
    found = Stream(path, Path())
    found.store.block = 5000
    found.read()
    assert found.store.num_blocks > 20
    return found


def answer(stream: Stream, where: str, text: str) -> list[int]:
    queries = Queries()
    try:
        query = queries.get(stream, where, text)
        deadline = time.monotonic() + 60
        while not query.done and time.monotonic() < deadline:
            time.sleep(0.01)
        assert query.error is None, query.error
        assert query.num_scanned == len(stream)
        return list(query.found)
    finally:
        queries.close()


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


@pytest.mark.parametrize(
    "text", ["RED", "quadrat", "été", "数学", 'say "Yes"', "A\\b", "line\nbreak", "straße", "role"]
)
def test_a_search_finds_what_a_walk_over_all_texts_finds(stream, text):
    """Names of fields and data: URIs are not searched; letters have no case."""
    expected = [
        n
        for n in range(len(stream))
        if any(
            text.lower() in one.lower() for one in strings(stream[n]) if not one.startswith("data:")
        )
    ]
    assert answer(stream, "", text) == expected
    assert 0 < len(expected) < len(stream)


def test_a_filter_means_what_select_means(stream):
    where = 'task == "math" and max(responses[*].reward) > 0.7'
    condition = Expression(where)
    expected = [n for n in range(len(stream)) if condition(stream[n])]
    assert answer(stream, where, "") == expected
    both = [n for n in expected if any("数学" in one for one in strings(stream[n]))]
    assert answer(stream, where, "数学") == both


def test_a_regular_expression_that_takes_forever_stops_its_query_alone(tmp_path):
    path = write(tmp_path / "in.jsonl", [{"id": "a", "answer": "a" * 40 + "!"}, {"id": "b"}])
    stream = Stream(path, Path())
    stream.read()
    queries = Queries()
    query = queries.get(stream, 'matches(answer, "(a+)+$")', "")
    deadline = time.monotonic() + 30
    while not query.done and time.monotonic() < deadline:
        time.sleep(0.01)
    queries.close()
    assert "takes over 1 s on one text" in str(query.error)


def test_a_filter_that_is_none_is_an_error_with_its_column(stream):
    with pytest.raises(UserError, match="column"):
        Viewer([stream]).rows(0, "task ==", "", 0, 10)


def test_rows_are_a_window_of_the_matches(stream):
    viewer = Viewer([stream])
    everything = viewer.rows(0, "", "", 1990, 100, at=1995)
    assert [row["n"] for row in everything["rows"]] == list(range(1990, 2000))
    assert (everything["total"], everything["place"]) == (2000, 1995)
    found = answer(stream, 'task == "ocr"', "")
    rows = viewer.rows(0, 'task == "ocr"', "", 0, 0)
    while not rows["done"]:
        rows = viewer.rows(0, 'task == "ocr"', "", 10, 5, at=found[12])
    rows = viewer.rows(0, 'task == "ocr"', "", 10, 5, at=found[12])
    viewer.close()
    assert [row["n"] for row in rows["rows"]] == found[10:15]
    assert (rows["total"], rows["place"]) == (len(found), 12)


def test_a_record_is_found_by_its_id(stream):
    assert stream.find("r1234") == 1234
    assert stream.find("nowhere") is None


def test_bad_lines_and_a_cut_stream_are_shown_with_what_is_whole(tmp_path, sh):
    (tmp_path / "bad.jsonl").write_text('{"id":"a"}\n{no\n{"id":"b"}\n')
    stream = Stream(str(tmp_path / "bad.jsonl"), tmp_path)
    stream.read()
    assert [stream[n]["id"] for n in range(3)] == ["a", "line 2", "b"]
    assert stream[1]["line"] == "{no"
    assert stream[1]["reject"]["reason"] == "not-json"
    assert stream.state()["bad"] == 1
    whole = (tmp_path / "records.jsonl.zst").read_bytes()
    (tmp_path / "cut.zst").write_bytes(whole[:-500])
    cut = Stream(str(tmp_path / "cut.zst"), tmp_path)
    cut.read()
    assert "cut short" in (cut.state()["error"] or "")
