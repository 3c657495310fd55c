"""Zoom scenes: what a call returns is the card that it names, and answers follow from what was seen."""

from collections import Counter

import numpy
import pytest
from PIL import Image

from qvl.io import jsonl
from qvl.tiny import data, tasks
from qvl.tiny.generators import cards, drawing, zoom

NAMES = [
    "zoom-none",
    "zoom-one",
    "zoom-two",
    "zoom-first",
    "zoom-habit",
    "zoom-read",
    "zoom-direct",
]


def drawn(name: str, split: str = "train", number: int = 40) -> list:
    return list(tasks.examples(name, 0, split, number))


def hue_of(image: Image.Image) -> str:
    """The colour of a crop's corner."""
    corner = numpy.asarray(image).astype(int)[10, 10]
    return min(drawing.COLOURS, key=lambda hue: int(abs(corner - drawing.COLOURS[hue]).sum()))


@pytest.mark.parametrize("name", NAMES)
def test_every_call_returns_the_card_that_it_names(name):
    for sample in drawn(name):
        for look in sample.turns[0].looks:
            crop = look.draw()
            assert crop.size == (96, 96)
            assert f"{hue_of(crop)} card" == look.label


def test_questions_that_name_their_need_make_as_many_calls():
    for name, calls in (("zoom-none", 0), ("zoom-one", 1), ("zoom-two", 2)):
        for sample in drawn(name):
            (turn,) = sample.turns
            assert len(turn.looks) == sample.fields["calls_needed"] == calls
            assert turn.content == turn.answer
            for look in turn.looks:
                assert look.label in turn.question


def test_a_digit_is_readable_in_its_crop_and_not_in_what_the_model_sees():
    seen, crops = set(), set()
    for sample in drawn("zoom-one", number=200):
        paper, (first, *_), (digit, *_) = sample.key[2:]
        if paper == 0 and first[1] == "red":
            small = sample.draw().resize((96, 96), Image.Resampling.BICUBIC)
            cell = numpy.asarray(small.crop(cards.box(first[0]))).astype(int)
            seen.add((digit, int(numpy.abs(cell.mean() - 150))))
            crop = numpy.asarray(sample.turns[0].looks[0].draw()).astype(int)
            crops.add((digit, crop[36:60, 36:60].tobytes()))
    by_digit = {}
    for digit, crop in crops:
        by_digit.setdefault(digit, set()).add(crop)
    assert len(by_digit) >= 5
    # The same digit is drawn alike in every cell, and no two digits are.
    assert all(len(found) == 1 for found in by_digit.values())
    assert len({next(iter(found)) for found in by_digit.values()}) == len(by_digit)


def test_first_ends_with_the_call_of_the_first_card_named():
    for sample in drawn("zoom-first"):
        messages = tasks.messages(sample.turns, ["scene.png"])
        assert [message["role"] for message in messages] == ["user", "assistant"]
        (call,) = messages[-1]["tool_calls"]
        arguments = call["function"]["arguments"]
        assert list(arguments) == ["label", "bbox_2d", "img_idx"]  # the name before its box
        first = sample.turns[0].question.split("the ")[1].split(" card")[0]
        assert arguments["label"] == f"{first} card"


def test_the_habit_is_one_call_and_no_digit_is_a_guess():
    made: dict[int, Counter] = {0: Counter(), 1: Counter(), 2: Counter()}
    for sample in drawn("zoom-habit", number=600):
        (turn,) = sample.turns
        needed = sample.fields["calls_needed"]
        made[needed][len(turn.looks)] += 1
        if needed:
            assert turn.content.split() == turn.answer.split()[: len(turn.looks)]
        else:
            assert turn.content == turn.answer
    assert made[0][1] > 3 * made[0][0] and not made[0][2]
    assert made[1][1] > 3 * made[1][2] and not made[1][0]
    assert 0.3 < made[2][2] / made[2].total() < 0.7 and not made[2][0]


def test_direct_has_neither_hint_nor_calls_and_read_has_the_crop_alone():
    for sample in drawn("zoom-direct"):
        assert zoom.HINT not in sample.turns[0].question and not sample.turns[0].looks
    for sample in drawn("zoom-read"):
        assert sample.draw().size in ((96, 96), (96, 128), (128, 96))


def test_no_zoom_task_trains_on_cards_that_a_card_task_tests():
    trained = {frozenset(sample.key[3]) for sample in drawn("zoom-one", number=300)}
    tested = {frozenset(sample.key[2]) for sample in drawn("card-list", "test", 300)}
    assert not trained & tested


def test_records_hold_calls_what_they_return_and_how_many_are_needed(tmp_path):
    data.write(tmp_path, data.DataPlan(names=["zoom-two"], train=3, test=3, defect_share=0))
    for one in jsonl.read(str(tmp_path / data.RAW)):
        roles = [message["role"] for message in one["messages"]]
        assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
        for message in (one["messages"][2], one["messages"][4]):
            with Image.open(tmp_path / message["content"][0]["image"]) as image:
                assert image.size == (96, 96)
        assert one["calls_needed"] == 2
    for one in jsonl.read(str(tmp_path / data.TEST)):
        assert len(one["messages"]) == 1 and one["calls_needed"] == 2
