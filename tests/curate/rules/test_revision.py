"""A revision that may change the meaning is refused with a reason.

revisions.jsonl: 141 pairs of a question and a revision, English and Chinese, written by hand by the
author of the guard, with whether they ask the same. The development part was looked at while the guard
was written, the other part once before (as was the guard's first form, which compared the texts: it let
35 of 36 other questions pass).
"""

from collections import Counter
from pathlib import Path

import pytest

from qvl.curate.rules.revision import refusal
from qvl.io import jsonl

SAME = [
    ("how many of them is in the picture", "How many of the dogs are in the picture?"),
    ("What is 3 + 4 in it?", "What is the sum 3 + 4?"),
    ("Which is bigger?\nA. cat\nB. dog", "Which animal is bigger?\nA. cat\nB. dog"),
    ("图中有几个？", "图中有几个人？"),
]
OTHER = [
    ("How many apples did Tom give Ann?", "How many apples did Ann give Tom?", "moves it"),
    ("What is 12 x 4 / 2?", "What is 12 x 4 + 2?", "sign"),
    ("What is 3 + 4?", "What is 3 + 5?", "number"),
    ("Which animal is not a dog?", "Which animal is a dog?", "negation"),
    ("哪个不是狗？", "哪个是狗？", "negation"),
    ("Solve $x = y$ for x.", "Solve $x = z$ for x.", "formula"),
    ("What does `rm -r` do here?", "What does `rm` do here?", "code"),
    ('Who says "stop it" first?', 'Who says "stop now" first?', "quotation"),
    ("Which?\nA. cat\nB. dog", "Which?\nA. cat\nB. cow", "answer option"),
    ("How many dogs are there?", "有几只狗？", "written in Cjk"),
    (
        "How many dogs?",
        "How many dogs? And write all that you know of their kind" + ", please" * 16,
        "of the text",
    ),
    ("How many dogs?", "  ", "empty"),
]


@pytest.mark.parametrize(("original", "revision"), SAME)
def test_the_smallest_change_passes(original, revision):
    assert refusal(original, revision) is None


@pytest.mark.parametrize(("original", "revision", "why"), OTHER)
def test_a_change_of_meaning_is_refused(original, revision, why):
    reason = refusal(original, revision)
    assert reason and why in reason


def test_most_clarifications_pass_and_few_other_questions_do():
    found: Counter[tuple[str, bool, bool]] = Counter()
    for pair in jsonl.read(str(Path(__file__).with_name("revisions.jsonl"))):
        refused = refusal(pair["original"], pair["revision"]) is not None
        found[pair["part"], pair["same"], refused] += 1
    for part, passed, other in (("development", 33, 38), ("heldout", 29, 36)):
        assert found[part, True, False] >= passed
        assert found[part, False, True] >= other
