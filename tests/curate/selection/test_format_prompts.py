"""Format prompts: an answer written as the prompt says is the answer that the verifier reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from verdicts import verify

from qvl.curate.rules.responses import ResponseRules
from qvl.curate.selection.format_prompts import FIELD, FOLDER, FormatPrompts, is_chinese
from qvl.errors import UserError
from qvl.record import check, question, text
from qvl.reward import REWARDS, Unverifiable
from qvl.reward.verifiers.programs import blocks
from qvl.text import words
from qvl.text.thinking import answer_text


def fenced(*places: dict) -> str:
    return f"```json\n{json.dumps(places)}\n```"


THOUGHT = "Let me see: 3:59, or 12, or B, [1, 2], (3, 4, 5, 6), from 7 to 8 s.\n\n"
TABLE = "| a | b |\n| --- | --- |\n| 1 | 2 |"
TESTS = {"tests": [{"stdin": "2\n", "stdout": "4\n"}]}
SCHEMA = {"type": "object", "required": ["total"], "additionalProperties": False}
SCHEMA["properties"] = {"total": {"type": "number"}}
BOX = [{"bbox_2d": [100, 100, 300, 300], "label": "cat"}]

# task -> the reference, an answer in the form that the prompt asks for, and what it must ask for.
ANSWERS = {
    "math": (r"\frac{1}{2}", r"\boxed{\frac{1}{2}}", r"\boxed{}"),
    "number": ("12.5", r"The sum is \boxed{12.5}.", r"\boxed{}"),
    "choice": ("C", r"\boxed{C}", r"\boxed{}"),
    "yes-no": ("no", "No", "yes or no"),
    "exact": ("red", "red", "last line"),
    "vqa": ("a red bus", "A red bus.", "last line"),
    "logic": ("Cid", "Cid", "last line"),
    "puzzle": ("left, up", "left, up", "last line"),
    "list": (["red", "blue"], "blue, red", "commas"),
    "caption": ("red top, blue left", "blue left, red top", "commas"),
    "counting": (7, "7", "digits"),
    "clock": ("3:05:10", "3:05:10", "h:mm:ss"),
    "chart": (["2019", "45%"], "2019, 45%", "commas"),
    "ocr": ("STOP\nfor 2 minutes", "STOP\nfor 2 minutes", "line by line"),
    "document": (f"Costs\n\n{TABLE}", f"# Costs\n\n{TABLE}", "Markdown"),
    "video": ([[3, 5.5], [8, 9]], "3 - 5.5\n8 - 9", "start - end"),
    "schema": (SCHEMA, '{"total": 4}', "JSON"),
    "structured": ({"schema": SCHEMA, "value": {"total": 4}}, '{"total": 4}', "JSON"),
    "code": (TESTS, "```python\nprint(int(input()) * 2)\n```", "```python"),
    "grounding": (BOX, fenced({"bbox_2d": [100, 100, 300, 300], "label": "cat"}), "bbox_2d"),
    "boxes": ([100, 100, 300, 300], fenced({"bbox_2d": [100, 100, 300, 300]}), "bbox_2d"),
    "pointing": (BOX, fenced({"point_2d": [200, 200], "label": "cat"}), "point_2d"),
}
ALONE = ("ocr", "document", "schema", "structured")  # whose prompts ask for the answer and no more
NO_PROMPT = {"instruction", "instruction-loose"}  # tasks whose questions state their own form


def asked(task: str, answer: Any, content: Any = "What is it?") -> dict:
    return {
        "id": "a",
        "task": task,
        "answer": answer,
        "messages": [{"role": "user", "content": content}],
    }


def test_every_task_with_a_verifier_has_a_prompt():
    assert set(ANSWERS) == set(REWARDS) - NO_PROMPT
    for task, (answer, _, form) in ANSWERS.items():
        assert form in FormatPrompts().of(asked(task, answer)), task


@pytest.mark.parametrize("task", ANSWERS)
@pytest.mark.parametrize("content", ["What is it?", "这是什么"])
def test_an_answer_as_the_prompt_says_is_right(task, content):
    answer, said, _ = ANSWERS[task]
    record = FormatPrompts()(asked(task, answer, content))
    assert check(record) is None
    responses = [said, f"<think>\n{THOUGHT}\\boxed{{0}}</think>\n\n{said}"]
    if task not in ALONE:
        responses.append(THOUGHT + said)
    for response in responses:
        if task == "code":  # what is run of it is the sandbox's affair
            program = blocks.program(answer_text({"content": response}), reads=True)
            assert program == "print(int(input()) * 2)\n"
        else:
            assert verify(record, {"content": response}) == 1, response
            assert verify(record, {"content": "I do not know."}) < 1


def test_every_prompt_has_a_chinese_twin_and_is_one_line():
    names = {path.name for path in FOLDER.iterdir()}
    plain = {name for name in names if ".zh." not in name}
    assert names == plain | {name.replace(".txt", ".zh.txt") for name in plain}
    for path in FOLDER.iterdir():
        assert len(path.read_text().splitlines()) == 1, path
        assert is_chinese(path.read_text()) == (".zh." in path.name), path


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_prompt_excuses_what_the_question_itself_does_not(path):
    """The rules for responses read the question: a prompt must not seem to ask for a language, for
    repetition, for another voice or for what is written in the image."""
    prompt = path.read_text().lower()
    lists = ["languages", "repeat", "casual"]
    if path.name.partition(".")[0] not in ("ocr", "document", "grounding", "pointing"):
        lists.append("reading")  # a "label" is part of Qwen3-VL's JSON
    for name in lists:
        assert words.patterns(name).find(prompt) == "", name


def test_the_prompt_of_a_chart_holds_no_number_that_an_answer_would_be_excused_for():
    for path in FOLDER.glob("chart*"):
        assert not any(map(str.isdigit, path.read_text()))


def test_it_is_appended_once_and_only_to_the_last_user_turn():
    prompts = FormatPrompts()
    record = asked("math", "4")
    record["messages"] = [
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And 2 + 2?"},
        {"role": "assistant", "content": "4"},
    ]
    done = prompts(record)
    assert done["messages"][2]["content"] == "And 2 + 2?\n" + done[FIELD]
    assert [done["messages"][n] == record["messages"][n] for n in range(4)] == [1, 1, 0, 1]
    assert "boxed" not in record["messages"][2]["content"]
    assert prompts(done) is done
    for said in (done[FIELD], f"Think, and {done[FIELD][0].lower()}{done[FIELD][1:]} "):
        given = asked("math", "4", f"What is 2 + 2? {said}")  # of a set that comes with it
        assert prompts(given) == {**given, FIELD: done[FIELD]}


def test_the_question_is_read_without_its_prompt():
    """A Japanese question stays Japanese alone, so that English in an answer to it is mixing."""
    plain = asked("math", "4", "2と二を足すといくつですか")
    done = FormatPrompts()(plain)
    assert "boxed" in text(done["messages"][0])
    assert question(done) == question(plain)
    rules = ResponseRules(check_answers=False)
    mixed = {"content": "答えは二と二の和で、 this is what we get from the sum です。"}
    for record in (plain, done):
        (verdict,) = rules({**record, "responses": [mixed]}).responses
        assert verdict and verdict.reason == "language-mixing"


def test_json_that_only_the_prompt_asks_for_must_be_json():
    done = FormatPrompts()(asked("schema", SCHEMA, "What does it cost?"))
    rules = ResponseRules(check_answers=False)
    (verdict,) = rules({**done, "responses": [{"content": '{"total": 4'}]}).responses
    assert verdict and verdict.reason == "bad-json"


def test_it_follows_the_question_whatever_its_parts():
    image = {"type": "image", "image": "a.png"}
    say = {"type": "text", "text": "How many?"}
    for parts, told in (([image, say], 1), ([say, image], 2), ([image], 1)):
        done = FormatPrompts()(asked("counting", 3, parts))
        assert check(done) is None
        assert done["messages"][0]["content"][told]["text"].endswith(done[FIELD])
        assert parts == parts[:] and say["text"] == "How many?"


def test_grounding_whose_verifier_reads_points_is_asked_for_points():
    prompts = FormatPrompts()
    assert "point_2d" in prompts.of(asked("grounding", [[5, 5]]))
    assert "point_2d" in prompts.of(asked("grounding", BOX, "Point to the cat."))
    assert "bbox_2d" in prompts.of(asked("grounding", BOX, "Where is the cat?"))
    done = prompts(asked("grounding", BOX, "Point to the cat."))
    assert verify(done, {"content": '{"point_2d": [200, 200], "label": "cat"}'}) == 1
    with pytest.raises(Unverifiable):
        verify(asked("grounding", "nowhere"), {"content": ""})
    assert "bbox_2d" in prompts.of(asked("grounding", "nowhere"))


@pytest.mark.parametrize(
    ("content", "chinese"),
    [
        ("图中有几只猫", True),
        ("用 Python 写一个函数返回列表中的最大值。", True),
        ("What does 北京 mean?", False),
        ("この画像には猫が何匹いますか。", False),
        ("이 그림에 고양이가 몇 마리 있습니까?", False),
        ("", False),
    ],
)
def test_a_chinese_question_is_told_by_its_words(content, chinese):
    assert is_chinese(content) is chinese


def test_a_users_folder_stands_in_for_ours(tmp_path: Path):
    (tmp_path / "math.txt").write_text("End with #### and the number.\n")
    (tmp_path / "clock.txt").write_text("")
    (tmp_path / "riddle.txt").write_text("Be brief.")
    prompts = FormatPrompts(str(tmp_path))
    assert prompts.of(asked("math", "1")) == "End with #### and the number."
    assert prompts.of(asked("math", "1", "一加一等于几")) == "End with #### and the number."
    assert prompts.of(asked("clock", "1:00")) == ""
    assert FIELD not in prompts(asked("clock", "1:00"))
    assert prompts.of(asked("riddle", "1")) == "Be brief."
    assert prompts.of(asked("vqa", "red")) == FormatPrompts().of(asked("vqa", "red"))
    assert prompts.of(asked("unheard-of", "red")) == ""
    assert prompts.identity != FormatPrompts().identity
    with pytest.raises(UserError, match="folder not found"):
        FormatPrompts(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no TASK\.txt"):
        FormatPrompts(str(tmp_path / "empty"))
