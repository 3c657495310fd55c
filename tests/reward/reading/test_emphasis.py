"""Emphasis: one bold, quoted or code text is the answer; marks are removed from lines and documents."""

import pytest

from qvl.reward.reading.emphasis import emphasized, unwrapped, without_marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is **42** in all.", "42"),
        ('The sign says "STOP".', "STOP"),
        ("The sign says “STOP”.", "STOP"),
        ("招牌写着「出口」。", "出口"),
        ("Run `ls`.", "ls"),
        ("**42**, so **42**", "42"),
        ("**41** or **42**", None),
        ("2 * 3 ** 4", None),
        ("42", None),
    ],
)
def test_the_only_emphasized_text_is_read(text, expected):
    assert emphasized(text) == expected


def test_marks_around_a_line_are_removed():
    assert unwrapped(" **42** ") == "42"


def test_marks_of_a_document_are_removed_but_not_those_inside_words():
    assert without_marks("**a** _b_ ~~c~~ `d` snake_case 2 * 3") == "a b c d snake_case 2 * 3"
