"""The penalty of another language, on the labelled answers of filter-responses and pairs made of them.

Sound answers (311, by hand and by generator: code, LaTeX, names, quotations, translations among them)
must have none. A sound text after the question of another language, or after a request for one, must
have one: every text with every other language's question, 35 texts of nine languages.
"""

from pathlib import Path

import orjson
import pytest

from qvl.reward.penalties.language import penalty, requested_languages

LABELLED = Path(__file__).parents[2] / "curate" / "labelled"
NAMES = {
    "en": "English", "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "ru": "Russian",
    "es": "Spanish", "ar": "Arabic", "fr": "French", "de": "German",
}  # fmt: skip


def lines(*names):
    return [orjson.loads(x) for name in names for x in (LABELLED / name).read_bytes().splitlines()]


TEXTS = lines("texts_development.jsonl", "texts_heldout.jsonl")


def said(asked, content, reasoning="", **fields):
    record = {"messages": [{"role": "user", "content": asked}], **fields}
    return penalty(record, {"content": content, "reasoning_content": reasoning}).value


def test_sound_answers_have_none():
    kept = [
        row
        for row in lines(
            "development.hand.jsonl", "development.generated.jsonl",
            "heldout.hand.jsonl", "heldout.generated.jsonl",
        )
        if row["want"] == "keep" and isinstance(row.get("content"), str)
    ]  # fmt: skip
    assert len(kept) > 250
    alarms = [row["asked"] for row in kept if said(row["asked"], row["content"])]
    assert alarms == []


def test_texts_in_the_language_of_their_question_have_none():
    for text in TEXTS:
        assert said(text["asked"], text["content"]) == 0.0, text["asked"]


def test_texts_behind_a_question_of_another_language_have_the_whole_one():
    pairs = [
        (one, other) for one in TEXTS for other in TEXTS if one["language"] != other["language"]
    ]
    found = [said(one["asked"], other["content"]) for one, other in pairs]
    assert len(pairs) > 1000
    assert sum(value == -1.0 for value in found) >= 0.97 * len(pairs)


def test_a_request_for_a_language_wants_that_one():
    for asked in ("Answer in {}: what is it?", "Explain it to me. Write your reply in {}."):
        for language, name in NAMES.items():
            prompt = asked.format(name)
            assert requested_languages(prompt) == {language}
            for text in TEXTS:
                expected = 0.0 if text["language"] == language else -1.0
                assert said(prompt, text["content"]) == expected, (prompt, text["content"])


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("用法语回答：这是什么？", "fr"),
        ("把这句话翻译成英语", "en"),
        ("日本語で答えてください", "ja"),
        ("Responde en francés, por favor", "fr"),
        ("Antworte bitte auf Englisch.", "en"),
        (
            "Ответь на английском",
            "en",
        ),
        ("Translate the text below from German into Spanish.", "es"),
    ],
)
def test_requests_are_known_in_several_languages(asked, language):
    assert requested_languages(asked) == {language}


def test_a_prompt_about_languages_wants_none_in_particular():
    spanish = TEXTS[[each["language"] for each in TEXTS].index("es")]["content"]
    assert said("Why is the German language hard?", spanish) == 0.0
    assert said("Answer in French and in Spanish.", spanish) == 0.0


def test_short_answers_code_formulas_and_names_have_none():
    question = "这张图里有几个圆？"
    assert said(question, "Paris") == 0.0
    assert said(question, "$x = \\text{the number of circles}$") == 0.0
    assert said(question, "```python\nfor each in the_list: print(each)\n```") == 0.0
    assert said("How many circles are there?", "三") == 0.0


def test_a_part_in_another_language_costs_its_share():
    english = "The tower stands on the left bank of the river, and a boat passes under the bridge. "
    chinese = "因为它很高所以很漂亮。"
    value = said("What does the picture show?", 2 * english + chinese)
    assert -0.5 < value < -0.05


def test_the_thinking_is_looked_at_too():
    english = "The tower stands on the left bank of the river, and a boat passes under the bridge."
    thought = "这座塔在河的左岸，有一艘船经过。"
    assert said("What does the picture show?", english, thought) == -1.0
    assert said("What does the picture show?", f"<think>{thought}</think>{english}") == -1.0


def test_a_format_prompt_does_not_tell_the_language():
    asked = "这张图里有几个圆？"
    prompt = "Put the final answer in \\boxed{}, and explain how you counted it."
    english = (
        "There are three circles in the picture, two of which are red and one of which is blue."
    )
    value = said(f"{asked}\n{prompt}", english, format_prompt=prompt)
    assert value == -1.0
