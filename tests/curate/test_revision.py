"""A revision that may mean something else is refused, and why is told."""

import pytest

from qvl.curate.revision import refusal

SAME = [
    ("how many of them is in the picture", "How many of the dogs are in the picture?"),
    ("What is 3 + 4 in it?", "What is the sum 3 + 4?"),
    ("Which is bigger?\nA. cat\nB. dog", "Which animal is bigger?\nA. cat\nB. dog"),
    ("\u56fe\u4e2d\u6709\u51e0\u4e2a\uff1f", "\u56fe\u4e2d\u6709\u51e0\u4e2a\u4eba\uff1f"),
]
OTHER = [
    ("What is 3 + 4?", "What is 3 + 5?", "number"),
    ("Which animal is not a dog?", "Which animal is a dog?", "negation"),
    ("\u54ea\u4e2a\u4e0d\u662f\u72d7\uff1f", "\u54ea\u4e2a\u662f\u72d7\uff1f", "negation"),
    ("Solve $x = y$ for x.", "Solve $x = z$ for x.", "formula"),
    ("What does `rm -r` do here?", "What does `rm` do here?", "code"),
    ('Who says "stop it" first?', 'Who says "stop now" first?', "quotation"),
    ("Which?\nA. cat\nB. dog", "Which?\nA. cat\nB. cow", "answer option"),
    ("How many dogs are there?", "\u6709\u51e0\u53ea\u72d7\uff1f", "written in Cjk"),
    ("How many dogs?", "Describe the weather in great detail, please, with a poem", "of the text"),
    ("How many dogs?", "  ", "empty"),
]


@pytest.mark.parametrize(("original", "revision"), SAME)
def test_the_smallest_change_passes(original, revision):
    assert refusal(original, revision) is None


@pytest.mark.parametrize(("original", "revision", "why"), OTHER)
def test_what_may_mean_something_else_is_refused(original, revision, why):
    told = refusal(original, revision)
    assert told and why in told
