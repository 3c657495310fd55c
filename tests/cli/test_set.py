from typing import Any

import orjson
import pytest

from qvl.errors import UserError
from qvl.streams.assignments import Assignments

RECORD: dict[str, Any] = {
    "id": "a",
    "scores": {"difficulty": {"value": 1}},
    "messages": [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "42"}],
}


def test_fields_are_set_by_expressions_one_after_another():
    made = Assignments('answer = final(), task="vqa", n = len(answer) + 1, old = id, id = "b"')(
        RECORD
    )
    assert made == {**RECORD, "answer": "42", "task": "vqa", "n": 3, "old": "a", "id": "b"}


def test_objects_are_made_on_the_way_and_the_record_stays_as_it_was():
    before = orjson.dumps(RECORD)
    made = Assignments('scores.mine.value = 2, scores["odd name"].x = [1, id], new.a.b = true')(
        RECORD
    )
    assert isinstance(made, dict)
    assert made["scores"] == {
        "difficulty": {"value": 1},
        "mine": {"value": 2},
        "odd name": {"x": [1, "a"]},
    }
    assert made["new"] == {"a": {"b": True}}
    assert orjson.dumps(RECORD) == before


def test_null_removes_a_field_and_makes_none():
    made = Assignments("scores.difficulty = null, answer = label, x.y = null, messages = null")(
        RECORD
    )
    assert made == {"id": "a", "scores": {}}


def test_plus_joins_strings_so_that_sets_that_number_their_own_get_ids_apart():
    assert Assignments('id = "set-1/" + id')(RECORD) == {**RECORD, "id": "set-1/a"}


def test_an_element_of_a_list_is_set_where_it_is_and_the_record_stays_as_it_was():
    before = orjson.dumps(RECORD)
    made = Assignments(
        'messages[0].content = "Look. " + messages[0].content, messages[-1].name = id'
    )(RECORD)
    assert isinstance(made, dict)
    assert made["messages"] == [
        {"role": "user", "content": "Look. How many?"},
        {"role": "assistant", "content": "42", "name": "a"},
    ]
    assert orjson.dumps(RECORD) == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("messages[2].role = 1", "messages is not a list with an element 2"),
        ("messages[-3] = 1", "messages is not a list with an element -3"),
        ("new[0] = 1", "new is not a list with an element 0"),
        ("scores[0] = 1", "scores is not a list with an element 0"),
        ("messages[0].content[1].text = 1", r"messages[0].content is not a list with an element 1"),
        ("messages[0] = null", "messages[0]: the value is null, and an element cannot be removed"),
        ("messages.role = 1", "messages is not an object, so it has no role"),
    ],
)
def test_an_element_that_a_list_has_not_is_an_error(source, said):
    with pytest.raises(UserError) as error:
        Assignments(source)(RECORD)
    assert said in str(error.value)


@pytest.mark.parametrize("source", ["id = null", "id = 1", 'id = ""', 'id = missing + "/x"'])
def test_an_id_stays_a_string_that_is_not_empty(source):
    with pytest.raises(UserError, match="record 'a': id: expected a string that is not empty"):
        Assignments(source)(RECORD)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("answer", "column 7: expected = after the field, found 'the end'"),
        ("= 3", "column 1: expected a field to set"),
        ("a == 3", "column 3: expected = after the field, found '=='"),
        ("a.b[*] = 1", "one element can be set, not each of a list"),
        ("a = 1 b = 2", "column 7: unexpected 'b'; assignments are joined with commas"),
        ("a = 1,", "column 7: expected a field to set"),
        ("a = nope()", "no function nope()"),
    ],
)
def test_a_wrong_assignment_is_an_error_with_its_column(source, said):
    with pytest.raises(UserError) as error:
        Assignments(source)
    assert said in str(error.value)


def test_records_that_cannot_be_changed_stop_the_command_or_are_rejected(sh, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a","n":1}\n{"id":"b","n":{}}\n')
    done = sh("qvl set 'n.x = 1' in.jsonl -o out.jsonl")
    assert done.returncode == 2
    assert "record 'a': n is not an object, so it has no x" in done.stderr
    done = sh("qvl set 'n.x = 1' in.jsonl -o out.jsonl --on-error reject --rejects no.jsonl")
    assert "2 read, 1 kept, 1 rejected (cannot-set 1)" in done.stderr
    assert (tmp_path / "out.jsonl").read_text() == '{"id":"b","n":{"x":1}}\n'
    done = sh(f"qvl set 'm = {'9' * 30}' in.jsonl -o out.jsonl")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "is beyond 64 bits" in done.stderr


def test_what_was_converted_gets_an_answer_and_a_task_and_can_be_verified(sh):
    done = sh(
        "qvl select 'task == \"math\" and len(messages) == 2' records.jsonl.zst"
        " | qvl set 'answer = final(), task = \"exact\", responses = [1]' --plain"
    )
    made = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert made
    assert all(record["answer"] == record["messages"][-1]["content"] for record in made)


@pytest.mark.parametrize("command", ["select", "set"])
def test_a_forgotten_expression_is_told(sh, command):
    done = sh(f"qvl {command} records.jsonl.zst")
    assert done.returncode == 2
    assert "records.jsonl.zst is a file; write the expression before it" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("select 'tsak == \"vqa\"'", "no record has 'tsak' (did you mean 'task'?)"),
        (
            "select 'task == \"x\" or messages[0].rloe == 1 or scoers.a.b > 1'",
            "no record has 'scoers.a.b'",
        ),
        ("stats --by tsak", "no record has 'tsak' (did you mean 'task'?)"),
        ("set 'answer = finl'", "no record has 'finl'"),
        ("dedup --key mesages -o x.zst", "no record has 'mesages' (did you mean 'messages'?)"),
        ("split --by tsak -o 'x{}'", "no record has 'tsak' (did you mean 'task'?)"),
    ],
)
def test_a_field_that_no_record_has_is_told_with_the_nearest_name(sh, line, said):
    done = sh(f"qvl {line} records.jsonl.zst > out")
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    ["select 'has(nothing) or task == \"math\"'", "stats", "set 'new = 1, x = new'"],
)
def test_a_field_that_a_record_has_or_that_is_asked_for_is_not(sh, line):
    done = sh(f"qvl {line} records.jsonl.zst > out")
    assert done.returncode == 0, done.stderr
    assert "no record has" not in done.stderr
