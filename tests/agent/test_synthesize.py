"""`qvl agent-synthesize`: from boxes to questions of two turns that hold when they are replayed."""

import json
import random

import pytest
from PIL import Image, ImageDraw
from shells import shell

from qvl.agent.synthesis.annotations import Thing
from qvl.agent.synthesis.questions import questions
from qvl.io import jsonl
from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.record import check

SIZE = (1200, 900)


def annotation(number, image, category, box, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


@pytest.fixture
def folder(tmp_path):
    """Two photographs: a red mug, a sign and two birds; and one with a mug that fills it."""
    image = Image.effect_noise(SIZE, 30).convert("RGB")
    ImageDraw.Draw(image).rectangle((900, 600, 960, 660), fill="red")
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png")
    rows = [
        annotation(0, 0, 0, [900, 600, 60, 60], attributes={"color": "red", "size": 3}),
        annotation(1, 0, 1, [100, 100, 80, 40], utf8_string="EXIT"),
        annotation(2, 0, 2, [200, 500, 40, 40], attributes={"color": "black"}),
        annotation(3, 0, 2, [300, 700, 40, 40]),
        annotation(4, 1, 0, [0, 0, 1200, 900], attributes={"color": "red"}),
    ]
    coco = {
        "images": [
            {"id": n, "file_name": f"{name}.png", "width": SIZE[0], "height": SIZE[1]}
            for n, name in enumerate("ab")
        ],
        "annotations": rows,
        "categories": [{"id": n, "name": name} for n, name in enumerate(("mug", "sign", "bird"))],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    return tmp_path


def made(folder, words=""):
    line = (
        f"qvl agent-synthesize --coco coco.json --per-image 9 --rejects bad.zst -o out.zst {words}"
    )
    done = shell(folder)(line)
    assert done.returncode == 0, done.stderr
    return list(jsonl.read(str(folder / "out.zst"))), done.stderr


def test_questions_are_made_of_what_is_small_and_unambiguous(folder, twin):
    records, said = made(folder)
    by_kind = {each["source"]: each for each in records}
    assert by_kind.keys() == {"synthesized/attribute", "synthesized/reading"}
    assert "2 read, 3 kept, 1 rejected (no-question 1)" in said  # a mug that fills its image
    answers = sorted(each["answer"] for each in records)
    assert answers == ["3", "EXIT", "red"]  # of the birds neither can be named
    rejected = [each["reject"] for each in jsonl.read(str(folder / "bad.zst"))]
    assert {each["reason"] for each in rejected} == {"no-question", "unverified"}
    reading = by_kind["synthesized/reading"]
    assert check(reading) is None
    assert (reading["task"], reading["calls_needed"]) == ("ocr", 1)
    assert reading["evidence"] == [{"bbox_2d": [83, 111, 150, 156], "img_idx": 0}]
    _, act, tool, last = reading["messages"]
    assert act["tool_calls"][0]["function"]["arguments"]["bbox_2d"] == [73, 104, 160, 163]
    crop = Image.open(folder / tool["content"][0]["image"])
    assert crop.width * crop.height >= 256 * 32 * 32
    assert last["content"].endswith("\n\nEXIT")
    sample = Renderer(twin, media_root=folder)(reading)
    assert isinstance(sample, Sample) and len(sample.spans) == 2


def test_objects_are_counted_where_the_crop_is_larger_than_what_the_model_sees(folder, twin):
    """The twin sees at most 256 tokens of the photograph, and as many of a quarter."""
    records, _ = made(folder, f"--model {twin} --kinds counting")
    (one,) = [each for each in records if "bird" in each["messages"][0]["content"][1]["text"]]
    assert one["answer"] == "2"
    assert one["messages"][1]["tool_calls"][0]["function"]["arguments"]["bbox_2d"] == [
        0,
        500,
        500,
        1000,
    ]


def test_thoughts_go_where_a_thinking_template_reads_them(folder):
    records, _ = made(folder, "--thinking --no-tool-schemas")
    for each in records:
        assert "tools" not in each
        assert each["messages"][1]["content"] == ""
        assert each["messages"][3]["content"] == each["answer"]
        assert each["messages"][3]["reasoning_content"]


def test_a_run_is_repeated_to_the_same_records(folder):
    assert made(folder)[0] == made(folder)[0]
    assert made(folder)[0] != made(folder, "--seed 3")[0]


def test_records_with_boxes_are_read_and_others_are_rejected_with_the_reason(folder):
    content = [{"type": "image", "image": "a.png"}]
    base = {"messages": [{"role": "user", "content": content}]}
    mug = {"label": "mug", "bbox_2d": [750, 667, 800, 733], "attributes": {"color": "red"}}
    rows = [
        {"id": "boxes", **base, "objects": [mug]},
        {"id": "none", **base},
        {"id": "bad", **base, "objects": [{**mug, "bbox_2d": [9, 9, 1, 1]}]},
    ]
    jsonl.write(rows, str(folder / "in.zst"))
    done = shell(folder)("qvl agent-synthesize in.zst -o out.zst --rejects bad.zst")
    assert done.returncode == 0, done.stderr
    assert [each["answer"] for each in jsonl.read(str(folder / "out.zst"))] == ["red"]
    rejects = [each["reject"] for each in jsonl.read(str(folder / "bad.zst"))]
    details = [each["detail"] for each in rejects if each["reason"] == "no-objects"]
    assert details[0].startswith("no objects")
    assert details[1].startswith("objects[0].bbox_2d: expected")


def test_nothing_is_counted_that_lies_on_a_border_or_is_a_crowd():
    inside = Thing("bird", (100, 100, 150, 150))
    border = Thing("bird", (480, 100, 520, 150))
    crowd = Thing("bird", (600, 600, 700, 700), crowd=True)

    def counted(*objects):
        return [(q.answer, q.box) for q in questions(objects, random.Random(0), 0.0)]

    assert counted(inside, inside) == [("2", (0, 0, 500, 500))]
    assert counted(inside, border) == []
    assert counted(inside, crowd) == []


def test_a_file_that_is_not_coco_is_refused(folder):
    (folder / "coco.json").write_text('{"images": []}')
    done = shell(folder)("qvl agent-synthesize --coco coco.json -o out.zst")
    assert done.returncode == 2
    assert "coco.json: not COCO's JSON" in done.stderr
