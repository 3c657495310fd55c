"""The sheet of example images: which records are drawn, and what a reader sees of right and wrong."""

import json
from pathlib import Path

import numpy
import pytest
from PIL import Image
from shells import shell

from qvl.errors import UserError
from qvl.tiny import data, sheet


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sheet")
    data.write(folder, data.DataPlan(names=["card-ground", "add", "digit"], train=3, test=9))
    return folder


@pytest.fixture(scope="module")
def records(made) -> list[dict]:
    from qvl.io import jsonl

    return list(jsonl.read(str(made / data.TEST)))


def answered(record: dict, *, right: bool) -> dict:
    found = record["answer"] if record["task"] == "grounding" else None
    response = {"content": "words", "reward": float(right), "verdict": {"extracted": found}}
    return {**record, "responses": [response]}


def inks(page: Image.Image) -> dict[str, bool]:
    pixels = numpy.asarray(page).reshape(-1, 3)
    return {
        name: bool((numpy.abs(pixels.astype(int) - ink).max(-1) == 0).any())
        for name, ink in (("green", sheet.GREEN), ("red", sheet.RED))
    }


def test_the_first_records_of_each_source_are_drawn_and_texts_are_not(records):
    rows = sheet.chosen(records, 2)
    assert [[one["source"] for one in row] for row in rows] == [
        ["tiny/card-ground"] * 2,
        ["tiny/digit"] * 2,
    ]
    of_source = [one for one in records if one["source"] == "tiny/digit"]
    assert rows[1] == of_source[:2]


def test_right_answers_are_green_and_wrong_ones_red(made, records):
    for right in (True, False):
        rows = sheet.chosen((answered(one, right=right) for one in records), 1)
        assert inks(sheet.sheet(rows, made)) == {"green": right, "red": not right}


def test_the_box_of_an_answer_is_drawn_around_its_card(made, records):
    (record,) = [one for one in records if one["task"] == "grounding"][:1]
    page = numpy.asarray(sheet.sheet([[answered(record, right=True)]], made)).astype(int)
    image = page[sheet.MARGIN :][: sheet.SIDE, sheet.MARGIN :][:, : sheet.SIDE]
    rows, columns = numpy.nonzero(numpy.abs(image - sheet.GREEN).max(-1) == 0)
    seen = [columns.min(), rows.min(), columns.max(), rows.max()]
    wanted = [edge * sheet.SIDE / 1000 for edge in record["answer"][0]["bbox_2d"]]
    assert numpy.abs(numpy.subtract(seen, wanted)).max() <= 4


def test_records_without_a_response_show_the_reference(made, records):
    page = sheet.sheet(sheet.chosen(records, 1), made)
    assert inks(page) == {"green": False, "red": False}
    assert page.size == (sheet.WIDTH + 20, 2 * (sheet.HEIGHT + sheet.MARGIN) + sheet.MARGIN)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(UserError, match="no record has an image"):
        sheet.sheet(sheet.chosen([{"source": "a", "messages": []}], 3), Path())


def test_the_command_writes_a_picture_or_says_what_is_wrong(made, tmp_path):
    run = shell(tmp_path)
    done = run(f"qvl tiny sheet {made}/test.jsonl.zst -o x.png")
    assert (done.returncode, "x.png: 6 images" in done.stderr) == (0, True), done.stderr
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
    done = run(f"qvl tiny sheet {made}/test.jsonl.zst -o x.words")
    assert (done.returncode, "x.words" in done.stderr) == (2, True)
    (tmp_path / "text.jsonl").write_text(json.dumps({"messages": [], "source": "a"}) + "\n")
    done = run("qvl tiny sheet text.jsonl")
    assert (done.returncode, "no record has an image" in done.stderr) == (2, True)
