"""The twin's data: reproducible by seed, disjoint by split, and correct where measurable."""

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy
import pytest
from PIL import Image
from shells import shell
from verdicts import verify

from qvl import record
from qvl.io import jsonl
from qvl.reward.penalties import PENALTIES, find
from qvl.reward.verdict import judge
from qvl.tiny import data, defects, tasks
from qvl.tiny.data import DataPlan
from qvl.tiny.generators import drawing, photographs, scenes
from qvl.tiny.generators.example import held_out, stream

SIZE = 1800  # records of the training set, without duplicates


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    data.write(folder, DataPlan(train=SIZE, test=200))
    return folder


@pytest.fixture(scope="module")
def raw(made) -> list[dict]:
    return list(jsonl.read(str(made / data.RAW)))


@pytest.fixture(scope="module")
def kinds(made) -> dict[str, dict]:
    """The note on each defect, by id."""
    return {note["id"]: note for note in jsonl.read(str(made / data.DEFECTS))}


@pytest.fixture(scope="module")
def sound(raw, kinds) -> list[dict]:
    return [one for one in raw if one["id"] not in kinds]


@pytest.fixture(scope="module")
def test_set(made) -> list[dict]:
    return list(jsonl.read(str(made / data.TEST)))


def everything(folder: Path) -> dict:
    streams = {path.name: list(jsonl.read(str(path))) for path in folder.glob("*.zst")}
    pictures = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    return {**streams, **pictures}


def test_a_seed_fixes_every_record_and_image(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        folder.mkdir()
        data.write(folder, DataPlan(train=120, test=30, seed=seed))
    one, same, other = map(everything, folders)
    assert one == same
    assert one[data.RAW] != other[data.RAW]
    assert one[data.TEST] != other[data.TEST]


def test_every_record_is_sound_and_every_image_is_there(made, raw, test_set):
    for one in [*raw, *test_set]:
        assert record.check(one) is None, one
        assert list(one) == ["id", "messages", "answer", "task", "source"]
        for path in record.images(one):
            with Image.open(made / path) as image:
                assert (image.mode, image.width % 32, image.height % 32) == ("RGB", 0, 0)
    assert len({one["id"] for one in [*raw, *test_set]}) == len(raw) + len(test_set)
    assert all(record.final(one) for one in raw)
    assert all(len(one["messages"]) == 1 for one in test_set)
    shown = {path for one in [*raw, *test_set] for path in record.images(one)}
    assert shown == {f"images/{path.name}" for path in (made / "images").iterdir()}


def test_every_task_has_its_share(raw, test_set):
    assert set(Counter(one["source"] for one in test_set).values()) == {20}
    counts = Counter(one["source"].removeprefix("tiny/") for one in raw)
    for name in tasks.DEFAULT:
        expected = tasks.TASKS[name].train / data.DEFAULT_TRAIN * SIZE
        assert abs(counts[name] - expected) <= 0.1 * expected + 12, name


def test_train_and_test_share_nothing(raw, test_set):
    def questions(one: dict) -> set[tuple]:
        paths = tuple(record.images(one))
        return {(record.text(m), paths) for m in one["messages"] if m["role"] == "user"}

    trained = set().union(*map(questions, raw))
    assert not trained & set().union(*map(questions, test_set))
    pictures = {path for one in raw for path in record.images(one)}
    assert not pictures & {path for one in test_set for path in record.images(one)}


@pytest.mark.parametrize("name", tasks.TASKS)
def test_no_seed_trains_on_what_another_tests(name):
    trained = {sample.key for sample in tasks.examples(name, 1, "train", 150)}
    tested = {sample.key for sample in tasks.examples(name, 2, "test", 60)}
    assert (len(trained), len(tested)) == (150, 60)
    assert not trained & tested


def test_handwriting_is_split_by_original():
    assert all(sample.key[1] < 1400 for sample in tasks.examples("digit", 0, "train", 300))
    assert all(sample.key[1] >= 1400 for sample in tasks.examples("digit", 0, "test", 300))


def test_photographs_are_split_by_region():
    for split in ("train", "test"):
        for sample in tasks.examples("photo", 0, split, 300):
            _, name, left, top, side, _ = sample.key
            _, _, width, height = photographs.PHOTOGRAPHS[name]
            assert 0 <= left <= width - side and 0 <= top <= height - side
            first, last = 0.6 * width, 0.8 * width
            inside = first - 1 <= left and left + side <= last + 1
            outside = left + side <= first + 1 or left >= last - 1
            assert (inside, outside) == (split == "test", split == "train")


def test_fewer_examples_are_the_first_of_more():
    few, many = (list(tasks.examples("sum", 0, "train", n)) for n in (20, 40))
    assert [one.key for one in few] == [one.key for one in many][:20]


def test_an_exhausted_task_is_an_error(tmp_path):
    done = shell(tmp_path)("qvl tiny data x --tasks add --train 9500 --test 10")
    assert done.returncode == 2
    assert re.search(r"add: only [89]\d\d\d different examples to train", done.stderr)
    assert not list(tmp_path.iterdir())


def test_sums_are_right(sound, test_set):
    for one in [*sound, *test_set]:
        question = record.question(one)
        if one["source"] in ("tiny/add", "tiny/sum"):
            assert int(one["answer"]) == sum(map(int, re.findall(r"\d+", question)))


def test_the_last_line_of_an_answer_is_the_answer(sound):
    checked = 0
    for one in sound:
        final = record.text(record.final(one)).split("\n")[-1]
        assert final in (one["answer"], json.dumps(one["answer"]))
        checked += "\n" in record.text(record.final(one))
    assert checked > 200


def test_every_step_of_a_sum_is_right(sound):
    for one in sound:
        if one["source"] == "tiny/sum":
            digits = re.findall(r"\d", record.question(one))
            total = int(digits[0])
            steps = record.text(record.final(one)).split("\n")[0].split(" ")
            for digit, step in zip(digits[1:], steps, strict=True):
                assert step == f"{total}+{digit}={total + int(digit)}"
                total += int(digit)


def test_the_tallest_is_taller_than_all(sound, test_set):
    for one in [*sound, *test_set]:
        if one["source"] != "tiny/logic":
            continue
        above = defaultdict(set)  # who -> all that are shorter
        for left, how, right in re.findall(
            r"(\w+) is (taller|shorter) than (\w+)", record.question(one)
        ):
            high, low = (left, right) if how == "taller" else (right, left)
            above[high].add(low)
        people = {*above, *set().union(*above.values())}
        for _ in people:
            for who in people:
                above[who] |= set().union(*(above[low] for low in above[who]))
        order = sorted(people, key=lambda who: -len(above[who]))
        wanted = record.question(one).split("the ")[-1].rstrip("?")
        assert (
            one["answer"]
            == {"tallest": order[0], "second tallest": order[1], "shortest": order[-1]}[wanted]
        )


def pixels(sample) -> numpy.ndarray:
    return numpy.asarray(sample.draw()).astype(int)


def near(image: numpy.ndarray, colour: str) -> numpy.ndarray:
    """Where the image has this colour."""
    return numpy.abs(image - drawing.COLOURS[colour]).max(-1) < 20


@pytest.mark.parametrize("split", ["train", "test"])
def test_boxes_are_tight_around_their_objects(split):
    for sample in tasks.examples("ground", 0, split, 60):
        image = pixels(sample)
        for turn in sample.turns:
            (found,) = json.loads(turn.content)
            rows, columns = numpy.nonzero(near(image, found["label"].split()[0]))
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            wanted = [edge * scenes.SIZE / 1000 for edge in found["bbox_2d"]]
            # The points of a star do not reach the edges of its box.
            assert max(map(abs, numpy.subtract(seen, wanted))) <= 0.11 * (wanted[2] - wanted[0]) + 1


def test_captions_name_each_card_and_its_place():
    for sample in tasks.examples("caption", 0, "train", 60):
        image, found = pixels(sample), {}
        for place, name in enumerate(scenes.PLACES):
            x, y = place % 3 * 32 + 16, place // 3 * 32 + 16
            for hue in drawing.COLOURS:
                if near(image, hue)[y, x]:
                    found[name] = hue
        cards = (card.split(" ", 1) for card in sample.turns[0].content.split(", "))
        assert {place: hue for hue, place in cards} == found


def test_colours_and_counts_are_those_drawn():
    for sample in tasks.examples("colour", 0, "train", 60):
        image = pixels(sample)
        hues = {hue for hue in drawing.COLOURS if near(image, hue).any()}
        assert len(hues) == len(sample.turns)
        for turn in sample.turns:
            named = (
                turn.answer if "What colour" in turn.question else turn.question.split()[-1][:-1]
            )
            assert named in hues
    for sample in tasks.examples("count", 0, "train", 60):
        image = pixels(sample)
        hue = sample.turns[1].question.split()[2]
        assert (sample.turns[1].answer == "0") == (not near(image, hue).any())
        assert int(sample.turns[0].answer) >= sum(near(image, hue).any() for hue in drawing.COLOURS)


def test_clocks_point_at_the_time():
    for sample in tasks.examples("clock", 0, "train", 60):
        _, hour, minute, _, (x, y), radius, (_, hand) = sample.key
        angle = minute * math.pi / 30
        row, column = y - 0.7 * radius * math.cos(angle), x + 0.7 * radius * math.sin(angle)
        around = pixels(sample)[int(row) - 1 : int(row) + 3, int(column) - 1 : int(column) + 3]
        assert near(around, hand).any()
        assert sample.turns[0].answer == f"{hour or 12}:{minute:02d}"


def test_digits_are_dark_or_bright_enough_to_read():
    for sample in tasks.examples("digit", 0, "test", 60):
        image = pixels(sample)
        assert image.reshape(-1, 3).std(0).max() > 15


def test_defects_have_the_requested_number_and_every_kind(raw, kinds, sound):
    counts = Counter(note["defect"] for note in kinds.values())
    assert counts.keys() == defects.KINDS.keys()
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sum(counts.values()) == round(DataPlan.defect_share * SIZE)
    added = sum(counts[kind] for kind in defects.ADDED)
    assert len(raw) == SIZE + added
    assert len(sound) == len(raw) - sum(counts.values())


def test_each_defect_is_what_its_name_says(raw, kinds):
    by_id = {one["id"]: one for one in raw}
    for identity, note in kinds.items():
        one, kind = by_id[identity], note["defect"]
        query, response = record.question(one), record.text(record.final(one))
        right = one["answer"] if isinstance(one["answer"], str) else json.dumps(one["answer"])
        rest = {field: value for field, value in one.items() if field != "id"}
        if kind == "vague-query":
            assert query in defects.VAGUE and not record.images(one)
        elif kind == "empty-query":
            assert not query.strip(" \n\t.?")
        elif kind == "wrong-answer" or kind == "cut-answer":
            assert response.split("\n")[-1] != right
        elif kind == "mixed-language":
            assert re.search(r"[一-鿿]", response) and re.search(r"[a-z]{3}", response)
        elif kind == "loop":
            assert len(response) > 60
        else:
            original = {k: v for k, v in by_id[note["of"]].items() if k != "id"}
            assert note["of"] not in kinds
            assert note["of"] < identity
            if kind == "duplicate":
                assert rest == original
            else:
                assert rest != original
                before = record.question(by_id[note["of"]])
                plain = [re.sub(r"\W", "", text).lower() for text in (query, before)]
                assert plain[0] == plain[1]


def test_verifiers_tell_sound_answers_from_wrong_ones(raw, kinds):
    for one in raw:
        kind = kinds.get(one["id"], {}).get("defect")
        if kind in (None, "wrong-answer"):
            reward = verify(one, {"content": record.text(record.final(one))})
            assert reward == (kind is None), one


def test_curation_finds_the_defects_and_nothing_else(made, raw, kinds, tmp_path):
    done = shell(tmp_path)(
        f"qvl filter-queries {made}/raw.jsonl.zst --rejects queries.zst"
        " | qvl filter-responses --rejects responses.zst"
        f" | qvl dedup --media-root {made} --near 0.8 --rejects copies.zst -o clean.zst"
    )
    assert done.returncode == 0, done.stderr
    dropped = list(
        jsonl.read([str(tmp_path / f"{n}.zst") for n in ("queries", "responses", "copies")])
    )
    found = Counter(kinds.get(one["id"], {"defect": "none"})["defect"] for one in dropped)
    for kind, number in Counter(note["defect"] for note in kinds.values()).items():
        assert found[kind] >= 0.9 * number, kind
    assert found["none"] <= 0.002 * len(raw)


def test_thinking_data_has_its_steps_in_reasoning_content(tmp_path):
    data.write(
        tmp_path, DataPlan(names=["sum", "mixed"], train=200, test=2, thinking=True, defect_share=0)
    )
    thoughts = Counter()
    for one in jsonl.read(str(tmp_path / data.RAW)):
        assert record.text(record.final(one)) == one["answer"]
        thoughts[one["source"]] += "reasoning_content" in record.final(one)
    count = Counter(one["source"] for one in jsonl.read(str(tmp_path / data.RAW)))
    assert thoughts["tiny/sum"] == count["tiny/sum"]
    assert 0.15 < thoughts["tiny/mixed"] / count["tiny/mixed"] < 0.55


def test_shares_decide_the_training_set_alone(tmp_path):
    done = shell(tmp_path)(
        "qvl tiny data x --tasks sum=8,card-find=1,card-where=1 --train 100 --test 6 --defect-share 0"
    )
    assert done.returncode == 0, done.stderr
    counts = Counter(one["source"] for one in jsonl.read(str(tmp_path / "x" / data.RAW)))
    assert counts == {"tiny/sum": 80, "tiny/card-find": 10, "tiny/card-where": 10}
    tested = Counter(one["source"] for one in jsonl.read(str(tmp_path / "x" / data.TEST)))
    assert set(tested.values()) == {2}


@pytest.mark.parametrize(
    "tasks_", ["sum=8,add", "sum=0,add=1", "sum=many", "sum=-1,add=2", "sum=nan"]
)
def test_a_share_that_is_none_is_an_error(tmp_path, tasks_):
    done = shell(tmp_path)(f"qvl tiny data x --tasks {tasks_}")
    assert (done.returncode, f"--tasks {tasks_}: expected" in done.stderr) == (2, True), done.stderr


def test_a_run_that_fails_leaves_nothing(tmp_path):
    done = shell(tmp_path)("qvl tiny data x --train 3")
    assert (done.returncode, "at least the number of tasks, 11" in done.stderr) == (2, True)
    done = shell(tmp_path)("qvl tiny data x --tasks add,chess")
    assert (done.returncode, "unknown task 'chess'" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


def test_the_command_makes_a_folder_that_check_accepts(tmp_path):
    done = shell(tmp_path)(
        "qvl tiny data twin --train 150 --test 20 --seed 5"
        " && qvl check twin/raw.jsonl.zst twin/test.jsonl.zst"
        " && qvl tiny data twin --train 150 --test 20 --force"
    )
    assert done.returncode == 0, done.stderr
    assert "test 20" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"twin"}


def test_random_numbers_depend_on_the_words_alone():
    assert stream(0, "add", "train", 7).randrange(1 << 30) == STREAM
    assert [number for number in range(40) if held_out((number,))] == HELD_OUT


STREAM = 67163168
HELD_OUT = [2, 4, 7, 14, 16, 21, 26]


def test_habits_are_right_answers_in_styles_that_penalties_tell_apart(tmp_path):
    data.write(tmp_path, DataPlan(names=["habits"], train=200, test=2, defect_share=0))
    found = Counter()
    for one in jsonl.read(str(tmp_path / "raw.jsonl.zst")):
        response = {"content": one["messages"][-1]["content"]}
        assert judge(one, response).reward == 1
        bad = [name for name in PENALTIES if find(name)(one, response).value < 0]
        assert len(bad) <= 1
        found.update(bad or ["none"])
    assert set(found) == {"none", "language", "repetition", "format"}
    assert 0.25 < found["none"] / 200 < 0.55
