"""The corrective tasks: the image shows what the answer says, counted from its pixels."""

import math
import re
from collections import Counter

import numpy
import pytest
from verdicts import verify

from qvl.io import jsonl
from qvl.tiny import tasks
from qvl.tiny.generators import corrective, drawing


def image_of(sample) -> numpy.ndarray:
    return numpy.asarray(sample.draw()).astype(int)


def near(image: numpy.ndarray, colour: str) -> numpy.ndarray:
    return numpy.abs(image - drawing.COLOURS[colour]).max(-1) < 20


def runs(line: list[bool], *, closed: bool = False) -> int:
    """The number of runs of True."""
    before = [line[-1] if closed else False, *line[:-1]]
    return sum(now and not was for now, was in zip(line, before, strict=True))


def around(mask: numpy.ndarray, x: float, y: float, radius: float, start=-math.pi, end=math.pi):
    """What a circle, or the part of it between two angles from the top, passes through."""
    found = []
    for step in range(721):
        column, row = corrective.point(x, y, start + (end - start) * step / 720, radius)
        inside = 0 <= round(row) < len(mask) and 0 <= round(column) < len(mask)
        found.append(bool(inside and mask[round(row), round(column)]))
    return found


def counted(sample) -> int:
    """The parts of the thing that the image shows."""
    _, name, _, hue, _, (x, y), reach = sample.key
    mask = near(image_of(sample), hue)
    if name == "animal":
        return runs(mask[round(y + 0.7 * reach)].tolist())
    if name == "lights":
        return runs(mask[:, x].tolist())
    if name == "hand":
        return runs(around(mask, x, y + 0.45 * reach, 1.15 * reach, -1.5, 1.5))
    return runs(around(mask, x, y, 0.85 * reach)[:-1], closed=True)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_image_shows_as_many_as_the_answer_says(split):
    seen = Counter()
    for sample in tasks.examples("odd-count", 0, split, 150):
        assert counted(sample) == int(sample.turns[0].answer), sample.key
        seen[sample.key[1]] += 1
    assert seen.keys() == corrective.THINGS.keys()


def test_the_usual_number_is_rarely_right():
    usual = [
        sample.key[2] == corrective.THINGS[sample.key[1]][0]
        for sample in tasks.examples("odd-count", 0, "train", 500)
    ]
    assert 0.14 < sum(usual) / 500 < 0.26


def test_the_hands_of_a_hard_clock_are_where_its_time_says():
    for sample in tasks.examples("hard-clock", 0, "train", 100):
        _, hour, minute, second, turned, _, (x, y), radius = sample.key
        image = image_of(sample)
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d)", sample.turns[0].answer)
        assert found and [int(part) for part in found.groups()] == [hour or 12, minute, second]
        twelve = turned * 30
        for angle, reach in (
            (30 * hour + minute / 2 + second / 120, 0.45),
            (6 * minute + second / 10, 0.7),
            (6 * second, 0.75),
        ):
            column, row = corrective.point(x, y, math.radians(twelve + angle), reach * radius)
            close = near(image, "black")[
                round(row) - 1 : round(row) + 2, round(column) - 1 : round(column) + 2
            ]
            assert close.any(), (sample.key, angle)
        rows, columns = numpy.nonzero(near(image, "red"))
        mark = math.degrees(math.atan2(columns.mean() - x, y - rows.mean()))
        assert abs((mark - twelve + 180) % 360 - 180) < 4


def test_they_are_made_only_on_request(sh, tmp_path):
    assert not {"odd-count", "hard-clock"} & set(tasks.DEFAULT)
    done = sh(
        "qvl tiny data hard --tasks odd-count,hard-clock --train 20 --test 4 --defect-share 0"
    )
    assert done.returncode == 0, done.stderr
    records = list(jsonl.read(str(tmp_path / "hard" / "raw.jsonl.zst")))
    assert Counter(one["task"] for one in records) == {"counting": 10, "clock": 10}
    assert all(verify(one, {"content": f"It is {one['answer']}."}) == 1 for one in records)
    done = sh("qvl check hard/raw.jsonl.zst && qvl rl prepare hard/raw.jsonl.zst -o queries.zst")
    assert "20 kept, prompts appended 20" in done.stderr
