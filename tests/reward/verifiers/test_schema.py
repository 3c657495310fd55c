"""Structured output: a real validator, nothing fetched, nothing endless, and no echo of the schema."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE
from verdicts import verify

from qvl.reward import Unverifiable, verdict
from qvl.reward.verifiers import schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["children"],
            "additionalProperties": False,
        }
    },
}
ANN = {"name": "Ann", "age": 3}


def score(answer, content):
    content = content if isinstance(content, str) else json.dumps(content)
    return verify({"id": "r", "task": "schema", "answer": answer}, {"content": content})


@pytest.mark.parametrize(
    "content",
    [
        ANN,
        f"```json\n{json.dumps(ANN)}\n```",
        f"Here:\n```\n{{}}\n```\nor better\n```json\n{json.dumps(ANN)}\n```",
        f"The person is {json.dumps(ANN)}.",
        f"<think>{{}}</think>{json.dumps(ANN)}",
        f"<answer>{json.dumps(ANN)}</answer>",
        {"name": "\\boxed{x} ``` ``` <answer>", "age": 3},
    ],
)
def test_json_that_fits_scores_one(content):
    assert score(PERSON, content) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "Ann, 3",
        {"name": "Ann", "age": -1},
        {"name": "Ann", "age": "3"},
        {"name": "Ann"},
        [ANN],
        json.dumps(ANN)[:-1],
        f"{json.dumps(ANN)} or {json.dumps(ANN)}",
        f"<think>{json.dumps(ANN)}",
        PERSON,
        "[" * 100_000,
        '{"name": "' + "a" * 300_000 + '", "age": 1}',
        '{"name": NaN, "age": 1}',
        "\ud800{}",
    ],
)
def test_json_that_does_not_fit_scores_nothing(content):
    assert score(PERSON, content) == 0


def test_a_schema_that_fits_itself_is_no_answer():
    loose = {"type": "object", "properties": {"type": {"type": "string"}}}
    assert score(loose, loose) == 0
    assert score(loose, {"type": "x"}) == 1


def test_a_value_counts_by_its_leaves():
    answer = {"schema": PERSON, "value": ANN}
    assert score(answer, ANN) == 1
    assert score(answer, {"name": "Ann", "age": 4}) == 0.5
    assert score(answer, {"name": "Ann", "age": 3, "more": [1, 2]}) == 0.5
    assert score(answer, {"name": "Ann"}) == 0
    strict = {"schema": {"type": "array"}, "value": [1, True, {}]}
    assert score(strict, "[1.0, true, {}]") == 1
    assert score(strict, "[true, 1, []]") == 0


def test_a_schema_may_hold_itself_inside():
    assert score(TREE, {"children": [{"children": []}]}) == 1
    assert score(TREE, {"children": [{"children": [{}]}]}) == 0
    deep: dict = {"children": []}
    for _ in range(25):
        deep = {"children": [deep]}
    assert score(TREE, deep) == 1
    for _ in range(100):
        deep = {"children": [deep]}
    assert score(TREE, deep) == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("{}", "expected a JSON schema"),
        ([PERSON], "expected a JSON schema"),
        ({"schema": 3}, "expected a JSON schema"),
        ({"title": "anything"}, "accepts every value"),
        ({"type": "person"}, "is invalid"),
        ({"type": "string", "pattern": "("}, "is invalid"),
        ({"$ref": "#/$defs/none"}, "not found"),
        ({"$ref": "other.json"}, "only references within the schema"),
        ({"$ref": "#"}, "circular reference"),
        ({"anyOf": [{"type": "null"}, {"not": {"$ref": "#"}}]}, "circular reference"),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"allOf": [{"$ref": "#/$defs/x"}]}},
            },
            "circular reference",
        ),
        ({"schema": PERSON, "value": {}}, "does not conform"),
    ],
)
def test_a_schema_that_cannot_judge_is_reported(answer, message):
    with pytest.raises(Unverifiable, match=message):
        score(answer, ANN)


def test_nothing_is_fetched():
    requests = []

    class Listens(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Listens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_port}/person.json"
        for answer in ({"$ref": where}, {"$id": where, "$ref": "a.json"}, {"$schema": where}):
            with pytest.raises(Unverifiable):
                score(answer, ANN)
        assert score(PERSON, {"$ref": where, **ANN}) == 1
        server.shutdown()
    assert requests == []


def test_formats_are_checked():
    for form, right, wrong in (
        ("date", "2025-01-31", "2025-02-31"),
        ("date-time", "2025-01-31T10:00:00Z", "2025-01-31 10:00"),
        ("time", "10:00:00+01:00", "25:00:00Z"),
        ("email", "a@b", "a"),
    ):
        answer = {"type": "string", "format": form}
        assert (score(answer, json.dumps(right)), score(answer, json.dumps(wrong))) == (1, 0), form


def test_a_pattern_that_backtracks_is_ended_with_the_verdict():
    record = {"id": "r", "task": "schema", "answer": {"type": "string", "pattern": "^(a+)+$"}}
    begin = time.monotonic()
    found = verdict.judge(record, {"content": json.dumps("a" * 40 + "b")}, None, 0.2)
    assert (found.status, found.reward) == ("timeout", None)
    assert time.monotonic() - begin < PATIENCE


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(plain)
def test_any_value_equals_itself_and_any_json_has_a_score(value):
    answer = {"schema": {"title": "anything"}, "value": value}
    if value != answer["schema"]:
        assert score(answer, json.dumps(value)) == 1
    assert 0 <= score(PERSON, json.dumps(value)) <= 1


@settings(deadline=None)
@given(st.text('{}[]",:1 a`<answer>', max_size=40))
def test_any_text_has_a_score(text):
    assert 0 <= score(TREE, text) <= 1
    schema.extract({"content": text})
