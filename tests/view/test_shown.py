"""A record as the page shows it."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvl.view import tokens
from qvl.view.rows import is_pack, responses_of, row
from qvl.view.shown import MAX_ITEMS, MAX_TEXT, media_of, shown


def image(name: str) -> dict:
    return {"type": "image", "image": name}


def record(**more) -> dict:
    content = [image("a.png"), {"type": "text", "text": "Where is the cat?"}]
    return {"id": "r", "messages": [{"role": "user", "content": content}], **more}


def test_media_are_numbered_in_the_order_of_their_parts():
    frames = {"type": "video", "video": ["1.png", "2.png"]}
    trajectory = [{"role": "tool", "content": [image("b.png")]}]
    one = record(responses=[{"content": "x"}, {"messages": trajectory}])
    one["messages"].append(
        {"role": "user", "content": [frames, image("data:image/png;base64,AAAA")]}
    )
    found = shown(one, 5)
    assert [each["name"] for each in found["media"]] == [
        "a.png",
        "2 frames",
        "data:image/png, 1 kB",
        "b.png",
    ]
    messages = found["record"]["messages"]
    assert messages[0]["content"][0]["media"] == 0
    assert [part["media"] for part in messages[1]["content"]] == [1, 2]
    assert found["record"]["responses"][1]["messages"][0]["content"][0]["media"] == 3
    assert [each.kind for each in media_of(one)] == ["image", "video", "image", "image"]
    assert "media" not in one["messages"][0]["content"][0], "the record itself stays as it is"


def test_boxes_of_answer_and_responses_are_drawn_on_the_image():
    one = record(
        task="grounding",
        answer=[{"bbox_2d": [1, 2, 300, 400], "label": "cat"}],
        responses=[{"content": '{"bbox_2d": [5, 6, 7, 8], "label": "dog"}'}, {"content": "none"}],
    )
    one["messages"].append({"role": "assistant", "content": "[10, 20, 30, 40]"})
    found = [(mark["kind"], mark["place"], mark["label"]) for mark in shown(one, 0)["marks"]]
    assert found == [
        ("answer", (1, 2, 300, 400), "cat"),
        ("turn", (10, 20, 30, 40), ""),
        ("response", (5, 6, 7, 8), "dog"),
    ]


def test_numbers_of_another_task_are_no_boxes():
    one = record(task="math", answer=[1, 2, 3, 4], responses=[{"content": "(3, 4)"}])
    assert shown(one, 0)["marks"] == []


def test_a_crop_is_drawn_on_the_image_that_the_call_names():
    def call(index: int) -> dict:
        arguments = json.dumps({"bbox_2d": [0, 0, 500, 500], "img_idx": index})
        function = {"name": "image_zoom_in_tool", "arguments": arguments}
        return {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}

    crop = {"role": "tool", "content": [image("crop.png")]}
    second = {"role": "user", "content": [image("b.png")]}
    one = record(responses=[{"messages": [call(0), crop, call(1), call(9)]}])
    one["messages"] += [call(0), crop, second, call(1)]
    marks = [mark for mark in shown(one, 0)["marks"] if mark["kind"] == "crop"]
    places = [(mark["image"], mark.get("response")) for mark in marks]
    assert places == [(0, None), (2, None), (0, 0), (2, 0)], "crops of tools are not counted"


def test_what_no_one_reads_to_its_end_is_cut_and_counted():
    one = record(text="x" * (MAX_TEXT + 7), items=list(range(MAX_ITEMS + 3)))
    found = shown(one, 0)["record"]
    assert found["text"].endswith("\n\u2026 7 more characters")
    assert found["items"][-1] == "\u2026 3 more"
    many = record(tree=[[[0] * 400] * 400] * 400)
    assert len(orjson.dumps(shown(many, 0))) < 2_000_000


HOSTILE = [
    {"id": 7, "messages": "text"},
    {"id": "a", "messages": [None, 3, {"role": ["x"], "content": {"a": 1}}]},
    {
        "id": "a",
        "messages": [
            {"content": [{"type": ["image"], "image": {}}, {"type": "video", "video": []}]}
        ],
    },
    {
        "id": "a",
        "responses": [None, {"reward": "high", "messages": [{"tool_calls": [{"function": 3}]}]}],
    },
    {"id": "a", "messages": [{"role": "assistant", "content": "{" * 100_000}], "task": "grounding"},
    {"id": "a", "reject": "x", "scores": [1], "answer": {"bbox_2d": "x"}},
    {"input_ids": [], "lengths": [], "loss_weights": []},
    {"id": "deep", "tree": json.loads("[" * 200 + "]" * 200)},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_record_of_any_shape_is_shown(number):
    one = HOSTILE[number] or {"id": "a"}
    found = shown({**one, "messages": one.get("messages", [])}, 3)
    assert found["n"] == 3
    assert row(one, 3)["n"] == 3
    orjson.dumps(found)


def test_a_row_says_how_the_responses_came_out():
    one = record(
        responses=[{"reward": 1.0}, {"reward": 0.2}, {"reward": None}],
        reject={"stage": "s", "reason": "too-easy"},
        task="math",
    )
    found = row(one, 4)
    assert found["text"] == "Where is the cat?"
    assert found["responses"] == {"count": 3, "judged": 2, "right": 1, "mean": 0.6}
    assert (found["reject"], found["images"], found["task"]) == ("too-easy", 1, "math")


NAMES = [
    *("id", "messages", "responses", "role", "content", "type", "image", "video", "text", "answer"),
    *(
        "tool_calls",
        "function",
        "arguments",
        "bbox_2d",
        "img_idx",
        "reject",
        "reward",
        "task",
        "scores",
    ),
    *("input_ids", "lengths", "loss_weights", "records", "columns", "images", "grids", "source"),
    *(
        "token_ids",
        "sampled",
        "logprobs",
        "trainer_logprobs",
        "advantage",
        "line",
        "reasoning_content",
    ),
]
WORDS = ["image", "video", "user", "assistant", "grounding", "a.png", "bbox_2d [1, 2, 3, 4]", ""]
PARTS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats(-2, 2) | st.sampled_from(WORDS)
VALUES = st.recursive(
    PARTS,
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(NAMES), each, max_size=6)
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8))
def test_any_json_is_shown(one):
    orjson.dumps([row(one, 0), shown(one, 0)])
    if is_pack(one):
        orjson.dumps([tokens.segments(one), tokens.of_pack(one, 0, 10, None)])
    for response in responses_of(one):
        orjson.dumps(tokens.of_response(response, 0, 10, None))
