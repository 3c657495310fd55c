"""The distinct words of a text, and the languages that they are function words of."""

import re
from collections import Counter

import pytest

from qvl.text import words
from qvl.text.function_words import Lanes, common, table

TEXTS = [
    "The sum of the two is 4, and that of the three is 9.",
    "El resultado es ¿cuatro?, y el de los tres (¡nueve!) es otro\u2028más.",
    "Это значит,что мы\u00a0получаем <ответ>: «девять»… и всё.",
    "結果は、四です。\u3000しかし、三つの/和は|九である",
    "\x1cfin\x85de la\u200bligne，et",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_words_stand_between_white_space_and_marks(text):
    between = re.compile(r"[\s.,;:!?()\[\]{}\"*|/<>`。、，،؟¿¡…]+")
    assert words.vocabulary(text) == set(between.split(text.lower())) - {""}


@pytest.mark.parametrize("text", TEXTS)
def test_lanes_count_what_a_counter_counts(text):
    lanes, found = Lanes(table()), common() & words.vocabulary(text)
    expected = Counter(language for word in found for language in table()[word])
    counts = zip(lanes.languages, lanes.counts(found), strict=True)
    assert {language: count for language, count in counts if count} == expected


def test_a_lane_holds_every_word_of_a_language():
    lanes = Lanes({f"word{number}": ("de", "en") for number in range(1000)} | {"und": ("de",)})
    assert lanes.languages == ["de", "en"]
    assert lanes.counts([f"word{number}" for number in range(1000)] + ["und"]) == (1001, 1000)
