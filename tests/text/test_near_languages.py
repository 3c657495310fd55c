"""Near languages are told apart: near_languages.jsonl, two short questions and their answers in 31 languages.

All were written for this test. An answer after a question of another language must cost the whole; one after a
question of its own language, on the same subject or not, nothing.
"""

import itertools
from pathlib import Path

import orjson
import pytest

from qvl.reward.penalties.language import penalty
from qvl.text import mixing

LINES = (Path(__file__).parent / "near_languages.jsonl").read_bytes().splitlines()
TEXTS = {row["language"]: row for row in map(orjson.loads, LINES)}
PAIRS = [
    ("es", "pt"),
    ("de", "nl"),
    ("es", "it"),
    ("sv", "da"),
    ("sv", "no"),
    ("cs", "pl"),
    ("fr", "ca"),
    ("ro", "it"),
]
HARD = {frozenset(pair) for pair in (
    ("pt", "gl"), ("da", "no"), ("sr", "hr"), ("id", "ms"),
)}  # fmt: skip


def cost(asked, content):
    return penalty({"messages": [{"role": "user", "content": asked}]}, {"content": content}).value


@pytest.mark.parametrize("language", TEXTS)
def test_an_answer_in_the_language_of_its_question_costs_nothing(language):
    for asked, content in itertools.product(TEXTS[language]["asked"], TEXTS[language]["answers"]):
        assert cost(asked, content) == 0.0, (asked, content)
        assert mixing.excess(asked, content, may_quote=False) == (0.0, ""), (asked, content)


def test_an_answer_in_any_other_language_costs_the_whole_however_near():
    missed = []
    for one, other in itertools.permutations(TEXTS, 2):
        for asked, content in itertools.product(TEXTS[one]["asked"], TEXTS[other]["answers"]):
            if cost(asked, content) > -1.0:
                missed.append(frozenset((one, other)))
    assert set(missed) <= HARD
    assert len(missed) <= 22  # of 3,720


@pytest.mark.parametrize(("one", "other"), [*PAIRS, *((b, a) for a, b in PAIRS)])
def test_the_filter_sees_it_without_a_model(one, other):
    """Of languages with many short words, and a question of several sentences."""
    asked = TEXTS[one]["answers"][0]
    content = TEXTS[other]["answers"][0]
    assert mixing.excess(asked, content, may_quote=False)[0] > 0.5


@pytest.mark.parametrize(
    ("language", "content"),
    [
        ("es", "Madrid"), ("es", "O Porto, 1755"), ("pt", "La Casa de Papel"), ("nl", "Die Zauberflöte"),
        ("ru", "Київ"), ("uk", "Москва"), ("de", "Ja."), ("de", "in het"), ("es", "não"), ("sv", "Nej, 5 kr."),
    ],
)  # fmt: skip
def test_short_answers_cost_nothing(language, content):
    for asked in TEXTS[language]["asked"]:
        assert cost(asked, content) == 0.0


def test_a_question_that_may_be_in_either_language_allows_both():
    for content in (TEXTS["pt"]["answers"][0], TEXTS["gl"]["answers"][0]):
        assert cost("Que cor ten o sol?", content) == 0.0
