r"""The final answer: one reading for all verifiers, whatever announces it, marks it or closes the text."""

import pytest

from qvl.reward.reading.extract import final
from qvl.reward.verdict import judge

READ = [
    ("The answer is 12.", "12."),
    ("**Answer:** x+1", "x+1"),
    ("**Answer**: x+1", "x+1"),
    ("**Answer: cat**", "cat"),
    ("**Answer:**cat", "cat"),
    ("The answer is **21**.", "21"),
    ("*Final answer*: _cat_", "cat"),
    ("The final answer is: `cat`", "cat"),
    ("### Answer: __cat__.", "cat"),
    ("> The answer is cat", "cat"),
    ("Ans: B", "B"),
    ("Final: B", "B"),
    ("So the answer is cat.", "cat."),
    ("Therefore, the final answer is: **cat**", "cat"),
    ("The answer to the question is 5", "5"),
    ("答案是21。", "21"),
    ("**答案**：猫", "猫"),
    ("所以答案是：**猫**", "猫"),
    ("最终答案为 5", "5"),
    ("- cat", "cat"),
    ("- 5", "- 5"),
    ("Answers vary", "Answers vary"),
    ("The answer", "The answer"),
    ("**a** and **b**", "**a** and **b**"),
    ("2 * 3 * 4", "2 * 3 * 4"),
    ("snake_case_name", "snake_case_name"),
    ("**cat**\n\n---", "cat"),
    ("a\n```\n42\n```", "42"),
    ("a\n~~~text\n42\n~~~\n", "42"),
    ("x\n$$\nx\n+1\n$$", "x +1"),
    ("x\n\\[\nx+1\n\\].", "x+1"),
    ("y\n\\begin{gather}\nx\n\\end{gather}", "\\begin{gather} x \\end{gather}"),
    ("```", ""),
    ("---", ""),
    ("\\boxed {5}", "5"),
    ("\\fbox{5}", "5"),
    ("\\boxed{5}, so \\boxed{6}", "6"),
    ("\\boxed{5} and \\boxed{6}", "5, 6"),
    ("\\boxed{5}, \\boxed{5}", "5"),
]


@pytest.mark.parametrize(("content", "expected"), READ)
def test_a_final_answer_has_no_lead_and_no_marks(content, expected):
    assert final({"content": content}) == expected


LEADS = [
    "The answer is **{}**.",
    "**Answer:** {}",
    "*{}*",
    "答案是：`{}`。",
    "**最终答案**：__{}__",
    "### {}\n\n---",
]
RIGHT = [
    ("exact", "cat", "cat"),
    ("vqa", "red car", "Red car"),
    ("ocr", "STOP", "STOP"),
    ("logic", "Cid", "Cid"),
    ("list", ["red", "blue"], "blue, red"),
    ("caption", ["red", "blue"], "red and blue"),
    ("chart", "France", "France"),
    ("chart", 45, "45%"),
    ("number", 42, "42"),
    ("counting", 3, "three"),
    ("clock", "3:05", "3:05"),
    ("math", "x+1", "x+1"),
    ("choice", "B", "B"),
]  # fmt: skip


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize(("task", "answer", "words"), RIGHT)
def test_every_verifier_of_short_answers_reads_the_same_leads(task, answer, words, lead):
    found = judge({"task": task, "answer": answer}, {"content": f"Hm.\n{lead.format(words)}"})
    assert (found.status, found.reward) == ("ok", 1.0), found


@pytest.mark.parametrize("content", ["`" * 9000, "---\n" * 5000, "$$\n" * 5000, "*" * 9000, "\\boxed{1}, " * 3000, "答" * 9000])  # fmt: skip
def test_hostile_ends_take_no_time(content):
    import time

    started = time.process_time()
    final({"content": content})
    assert time.process_time() - started < 0.2
