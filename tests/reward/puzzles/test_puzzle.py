"""Puzzles: any right solution counts, a wrong puzzle cannot judge, and no answer is run."""

import json
import time

import pytest
from patience import PATIENCE

from qvl.curate.selection.format_prompts import FormatPrompts
from qvl.reward.puzzles import puzzle
from qvl.reward.verdict import judge

SUDOKU = {"kind": "sudoku", "puzzle": ["1...", "..1.", ".1..", "...1"]}
SIX = {"kind": "sudoku", "puzzle": "1" + 35 * "."}
SOLVED_SIX = ["123456", "456123", "234561", "561234", "345612", "612345"]
MAZE = {"kind": "maze", "maze": ["S..", ".#.", "..G"], "shortest": True}
HOUSES = {"1": {"Name": "Eric", "Pet": "cat"}, "2": {"Name": "Ann", "Pet": "dog"}}
ZEBRA = {"kind": "zebra", "solution": HOUSES}


def record(answer):
    messages = [{"role": "user", "content": "Solve it."}]
    return {"id": "a", "task": "puzzle", "answer": answer, "messages": messages}


def score(answer, content, **options):
    return puzzle.judge(record(answer), {"content": content}, **options).reward


def test_every_solution_of_a_sudoku_is_right():
    for rows in (("1234", "3412", "4123", "2341"), ("1324", "2413", "3142", "4231")):
        assert score(SUDOKU, "\n".join(rows)) == 1.0
    assert score(SUDOKU, "1234\n2341\n3412\n4123") == 0.0


def test_boxes_of_six_are_two_rows_by_three_columns():
    assert score(SIX, "\n".join(SOLVED_SIX)) == 1.0
    assert score(SIX, "\n".join([*SOLVED_SIX[:1], *SOLVED_SIX[2:], SOLVED_SIX[1]])) == 0.0


def test_a_sudoku_of_sixteen_is_read_as_numbers_or_letters():
    solved = [
        [(4 * (row % 4) + row // 4 + column) % 16 + 1 for column in range(16)] for row in range(16)
    ]
    answer = {"kind": "sudoku", "puzzle": [solved[0], *[[0] * 16] * 15]}
    assert score(answer, json.dumps(solved)) == 1.0
    letters = "123456789ABCDEFG"
    assert score(answer, "\n".join(" ".join(letters[x - 1] for x in row) for row in solved)) == 1.0


def test_a_path_may_be_any_and_must_be_shortest_only_if_required():
    assert score(MAZE, "RRDD") == score(MAZE, "down, down, right, right") == 1.0
    assert score(MAZE, "RLRRDD") == 0.0
    assert score({**MAZE, "shortest": False}, "RLRRDD") == 1.0
    assert score(MAZE, "[0, 1], [0, 2], [1, 2], [2, 2]") == 1.0
    assert score(MAZE, "[0, 2], [2, 2]") == 0.0


def test_a_zebra_puzzle_gives_the_share_of_its_cells_with_partial():
    half = json.dumps({**HOUSES, "2": {"Name": "Bob", "Pet": "cow"}})
    assert score(ZEBRA, half) == 0.0
    assert score(ZEBRA, half, partial=True) == 0.5
    assert score(ZEBRA, json.dumps({f"House {name}": row for name, row in HOUSES.items()})) == 1.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"kind": "chess"}, "unknown puzzle 'chess'; known: sudoku, maze, zebra"),
        ({"kind": "sudoku", "puzzle": "12"}, "expected a grid of size 4, 6, 9 or 16"),
        ({"kind": "sudoku", "puzzle": ["11..", "....", "....", "...."]}, "breaks the rules"),
        ({"kind": "maze", "maze": ["S#G"]}, "no path leads from S to G"),
        ({"kind": "maze", "maze": ["S.."]}, "one S and one G"),
        ({"kind": "zebra", "solution": []}, "expected a table of houses"),
        ({"dataset": "no_such", "entry": {}}, "unknown to reasoning-gym: 'no_such'"),
        ({"dataset": "number_sorting", "entry": {"answer": "[1]"}}, "would run code of the record"),
        ({"dataset": "countdown", "entry": {"question": "?"}}, "entry: expected an object with an answer"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_puzzle_is_unverifiable(answer, message):
    verdict = judge(record(answer), {"content": ""})
    if verdict.status == "ok":
        verdict = judge(record(answer), {"content": "<answer>1</answer>"})
    assert verdict.status == "error" and verdict.reward is None
    assert message in verdict.detail


def entry(name):
    import reasoning_gym

    made = reasoning_gym.create_dataset(name, size=1, seed=2)[0]
    return {"dataset": name, "entry": json.loads(json.dumps(made, default=str))}


@pytest.mark.parametrize("name", ["countdown", "arc_agi", "zebra_puzzles", "prime_factorization"])
def test_reasoning_gym_gives_its_own_answers_1_and_nonsense_0(name):
    answer = entry(name)
    assert score(answer, f"So:\n<answer>{answer['entry']['answer']}</answer>") == 1.0
    assert score(answer, "<answer>no idea</answer>") == 0.0


@pytest.mark.parametrize("name", ["binary_matrix", "countdown", "polynomial_multiplication"])
def test_no_answer_is_run(name, tmp_path):
    mark = tmp_path / "run"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch() or 1"
    assert score(entry(name), f"<answer>{code}</answer>") == 0.0
    assert not mark.exists()


def test_an_answer_that_never_ends_times_out_and_the_next_is_judged(monkeypatch):
    monkeypatch.setattr("qvl.reward.puzzles.gym.SECONDS", 1.0)
    answer, started = entry("countdown"), time.monotonic()
    verdict = judge(record(answer), {"content": "<answer>9**9**9**9</answer>"})
    assert verdict.status in ("timeout", "error") and verdict.reward is None
    assert time.monotonic() - started < PATIENCE
    right = f"<answer>{answer['entry']['answer']}</answer>"
    assert judge(record(answer), {"content": right}).reward == 1.0


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (SUDOKU, "```\n1 2 3 4\n3 4 1 2\n4 1 2 3\n2 3 4 1\n```"),
        (MAZE, "right, right, down, down"),
        (ZEBRA, f"```json\n{json.dumps(HOUSES)}\n```"),
    ],
)
def test_an_answer_as_the_format_prompt_of_its_kind_requests_is_right(answer, content):
    assert FormatPrompts().of(record(answer))
    assert score(answer, f"I think so.\n\n{content}") == 1.0
