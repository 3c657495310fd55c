# ruff: noqa: RUF001 - full-width letters are what is tested
import random

import pytest

from qvl.curate.duplicates.dedup import Dedup, Exact, References
from qvl.curate.duplicates.minhash import Near
from qvl.errors import UserError
from qvl.streams.expression import Expression

LONG = (
    "The sum of the angles of a triangle is a straight angle. Explain in your own words why this "
    "holds in the plane, and name a surface on which it does not hold."
)
CHINESE = (
    "三角形的内角和等于一个平角。请用自己的话解释为什么这在平面上成立，并举出一个不成立的曲面。"
)

NEAR = {
    "a letter's case": (LONG, LONG.upper()),
    "white space": (LONG, LONG.replace(" ", "\n  ")),
    "a word": (LONG, LONG.replace("Explain", "Say")),
    "a full stop": (LONG, LONG.rstrip(".")),
    "a Chinese full stop": (CHINESE, CHINESE.rstrip("。")),
    "full-width letters": ("ABC abc " + LONG, "ＡＢＣ ａｂｃ " + LONG),
    "emoji at the end": ("🙂🙃🎉" * 8 + LONG, "🙂🙃🎉" * 8 + LONG + "🎉"),
    "composed letters": ("O\u00f9 est-ce? " * 3 + LONG, "Ou\u0300 est-ce? " * 3 + LONG),
}
FAR = {
    "another number": ("What is 17 + 25? " + LONG, "What is 17 + 26? " + LONG),
    "another question": (
        LONG,
        "Write a poem of four lines about the sea in spring, without rhyme.",
    ),
    "another Chinese question": (
        CHINESE,
        "请写一首关于春天大海的四行诗，不要押韵。并说明你的用意和修辞。",
    ),
    "short ones": ("hi", "ho"),
    "emoji": ("🙂🙃", "🎉🎉"),
    "none at all": ("", "a"),
}


def reason(first: str, second: str, index: Near | Exact) -> str | None:
    dedup = Dedup(Expression("prompt()"), index, References())
    for number, text in enumerate((first, second)):
        dropped = dedup({"id": f"r{number}", "messages": [{"role": "user", "content": text}]})
    return dropped.detail if dropped else None


@pytest.mark.parametrize(("first", "second"), NEAR.values(), ids=NEAR)
def test_texts_are_near_that_differ_in(first, second):
    assert reason(first, second, Near(0.8)) == "duplicate of r0"


@pytest.mark.parametrize(("first", "second"), FAR.values(), ids=FAR)
def test_texts_are_not_near_with(first, second):
    assert reason(first, second, Near(0.8)) is None


def test_an_equal_short_text_is_near():
    for text in ("", "hi", "你好", "🙂"):
        assert reason(text, text, Near(0.8)) == "duplicate of r0"


def test_exact_is_strict():
    assert reason("x² + 1", "x2 + 1", Exact()) is None
    assert reason("What is A?", "What is a?", Exact()) is None
    assert reason("a  b\n", " a b", Exact()) == "duplicate of r0"
    assert reason("O\u00f9", "Ou\u0300", Exact()) == "duplicate of r0"


def test_the_estimate_follows_the_true_similarity():
    """At 0.9 nearly all pairs are found at --near 0.8, at 0.6 nearly none."""
    draw = random.Random(0)
    found = {0.9: 0, 0.6: 0}
    for wanted in found:
        for _ in range(40):
            words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(300)]
            changed = words[:]
            # A changed word of five letters and a space touches all 6-byte pieces around it.
            for place in draw.sample(
                range(0, 300, 2), round(300 * (1 - wanted) / (1 + wanted) / 2)
            ):
                changed[place] = "".join(draw.choices("klmnopqrst", k=5))
            found[wanted] += reason(" ".join(words), " ".join(changed), Near(0.8)) is not None
    assert found[0.9] >= 38
    assert found[0.6] <= 2


@pytest.mark.parametrize("threshold", [0, 1, -1, 2])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(UserError, match="--near"):
        Near(threshold)
