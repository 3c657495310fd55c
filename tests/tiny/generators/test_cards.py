"""The card tasks: what the image shows, who may see it, and the token after a name."""

import json
import re

import numpy
import pytest
from verdicts import verify

from qvl import record
from qvl.tiny import tasks, tokenizer
from qvl.tiny.generators import cards, drawing
from qvl.tiny.generators.example import Example

FAMILY = ["card-list", "card-find", "card-where", "card-ground"]


def seen(sample: Example) -> dict[str, str]:
    """Colour -> the number of its cell, read from the pixels."""
    image = numpy.asarray(sample.draw()).astype(int)  # type: ignore[misc]
    found = {}
    for cell in range(9):
        middle = image[cell // 3 * 32 + 16, cell % 3 * 32 + 16]
        for hue, value in drawing.COLOURS.items():
            if abs(middle - value).max() == 0:
                found[hue] = str(cell + 1)
    return found


def asked(question: str) -> str:
    """The colour in a question about one card."""
    return re.findall(r"the (\w+) card", question)[0]


def test_lists_name_every_card_once_in_an_order_that_places_do_not_decide():
    orders = set()
    for sample in tasks.examples("card-list", 0, "train", 80):
        named = [(item[:-1], item[-1]) for item in sample.turns[0].content.split(", ")]
        assert dict(named) == seen(sample) and len(named) in (2, 3)
        hues = [hue for hue, _ in named]
        assert hues == sorted(hues, key=list(drawing.COLOURS).index)
        places = [cell for _, cell in named]
        orders.add(places == sorted(places))
    assert orders == {True, False}


def test_of_given_names_only_the_cells_are_learned():
    for sample in tasks.examples("card-given", 0, "train", 40):
        _, answer = tasks.messages(sample.turns, ["image.png"])
        learned = [part["text"] for part in answer["content"] if part.get("loss", True)]
        given = [part["text"].strip(", ") for part in answer["content"] if "loss" in part]
        assert dict(zip(given, learned, strict=True)) == seen(sample)


def test_a_sum_of_cards_lists_them_and_adds_up():
    for sample in tasks.examples("card-sum", 0, "train", 60):
        (turn,) = sample.turns
        words = turn.reasoning.split(" ")
        named = [word for word in words if "=" not in word]
        assert {word[:-1]: word[-1] for word in named} == seen(sample)
        total = int(named[0][-1])
        for word, step in zip(named[1:], words[len(named) :], strict=True):
            assert step == f"{total}+{word[-1]}={total + int(word[-1])}"
            total += int(word[-1])
        assert turn.answer == turn.content == str(total)


def test_an_album_asks_about_the_image_that_came_last():
    (album,) = tasks.examples("card-album", 0, "test", 1)
    low, high = cards.ALBUM
    assert low <= len(album.turns) <= high and album.tested == len(album.turns) - 1
    for turn in album.turns[:5]:
        shown = seen(Example((), [], turn.draw))
        assert shown[asked(turn.question)] == turn.answer


@pytest.mark.parametrize("split", ["train", "test"])
def test_questions_about_one_card_are_answered_by_the_image(split):
    for name in ("card-find", "card-where", "card-ground"):
        counts = set()
        for sample in tasks.examples(name, 0, split, 60):
            found = seen(sample)
            counts.add(len(found))
            for turn in sample.turns:
                hue = asked(turn.question)
                if name == "card-ground":
                    (box,) = json.loads(turn.content)
                    assert list(box) == ["label", "bbox_2d"]  # the name before what is looked up
                    left, top, right, bottom = (edge * 96 / 1000 for edge in box["bbox_2d"])
                    cell = int((top + bottom) / 2 // 32 * 3 + (left + right) / 2 // 32)
                    assert (box["label"], str(cell + 1)) == (f"{hue} card", found[hue])
                    assert right - left == pytest.approx(16, abs=0.1)
                else:
                    prefix = hue if name == "card-find" else ""
                    assert turn.content == prefix + found[hue]
        assert counts == {2, 3, 4, 5, 6}


def test_an_image_has_several_questions():
    for name, number in (("card-find", 3), ("card-where", 3), ("card-ground", 2)):
        for sample in tasks.examples(name, 0, "train", 20):
            assert len(sample.turns) == number


def test_no_task_trains_on_cards_that_another_tests_on_any_paper():
    def shown(split: str) -> set:
        single = [*FAMILY, "card-given", "card-sum"]
        found = {sample.key[2] for name in single for sample in tasks.examples(name, 3, split, 300)}
        albums = tasks.examples("card-album", 3, split, 4)
        return found | {cards for album in albums for _, cards in album.key[1:]}

    assert not shown("train") & shown("test")


def ids(text: str) -> list[int]:
    return tokenizer.train().encode(text).ids


@pytest.mark.parametrize("before", ["", " "])
@pytest.mark.parametrize("hue", drawing.COLOURS)
def test_the_value_is_the_very_next_token_after_its_name(hue, before):
    for cell in range(cards.CELLS):
        name = ids(before + hue)
        assert len(name) == 1  # so that word and key meet in it
        assert ids(before + cards.named((cell, hue))) == [*name, *ids(cards.number(cell))]
        assert len(ids(cards.number(cell))) == 1
        assert len(ids(f"{before}{hue} {cards.number(cell)}")) == 3  # the form that is not learned


@pytest.mark.parametrize("name", ["card-given", "card-list", "card-find"])
def test_the_tasks_that_come_first_follow_that_rule(name):
    digits = {ids(cards.number(cell))[0] for cell in range(cards.CELLS)}
    names = {ids(before + hue)[0] for hue in drawing.COLOURS for before in ("", " ")}
    for sample in tasks.examples(name, 0, "train", 60):
        for turn in sample.turns:
            tokens = ids(turn.content)
            values = [place for place, token in enumerate(tokens) if token in digits]
            assert values and all(tokens[place - 1] in names for place in values)


def test_verifiers_accept_the_reference_and_no_other_card():
    for name in FAMILY:
        (sample,) = tasks.examples(name, 5, "test", 1)
        messages = tasks.messages(sample.turns[:1], [None])
        one = {"messages": messages[:-1], "task": tasks.TASKS[name].task, "id": "1"}
        one["answer"] = sample.turns[0].answer
        assert verify(one, {"content": record.text(messages[-1])}) == 1
        wrong = record.text(messages[-1]).replace(sorted(seen(sample))[0], "white")
        wrong = re.sub(r"\d(?=\D*$)", "0", wrong)
        if name == "card-ground":
            wrong = json.dumps([{"label": "red card", "bbox_2d": [0, 0, 50, 50]}])
        assert verify(one, {"content": wrong}) < 0.5, name


def test_a_thought_finds_the_card_and_the_answer_repeats_its_cell():
    for sample in tasks.examples("card-think", 0, "train", 60):
        found = seen(sample)
        for turn in sample.turns:
            hue = asked(turn.question)
            assert turn.reasoning == hue + found[hue]
            assert turn.content == turn.answer == found[hue]


def test_a_hurried_annotator_names_the_cell_of_any_card():
    thoughtful = total = right = 0
    for sample in tasks.examples("card-mixed", 0, "train", 300):
        found = seen(sample)
        kinds = {bool(turn.reasoning) for turn in sample.turns}
        assert len(kinds) == 1
        thoughtful += kinds == {True}
        for turn in sample.turns:
            truth = found[asked(turn.question)]
            assert turn.answer == truth and turn.content in found.values()
            if turn.reasoning:
                assert turn.content == truth
            else:
                total += 1
                right += turn.content == truth
    assert 0.25 < thoughtful / 300 < 0.45
    assert 0.2 < right / total < 0.4  # chance among 2 to 6 cards: 0.29
