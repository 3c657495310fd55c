import random

import pytest

from qvl import record
from qvl.streams.expression import Expression

GOOD = {
    "id": "a",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [{"type": "image", "image": "x"}, {"type": "text", "text": "t"}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": "c", "reasoning_content": "why"},
    ],
}


def test_a_sound_record_has_no_problem():
    assert record.check(GOOD) is None


def test_text_images_question_and_final_turn():
    assert record.text(GOOD["messages"][1]) == "t"
    assert record.images(GOOD) == ["x"]
    assert record.videos(GOOD) == []
    assert record.question(GOOD) == "t"
    assert record.final(GOOD)["content"] == "c"
    assert record.final({"messages": GOOD["messages"][:2]}) is None


def test_a_video_may_be_a_list_of_frames_and_is_one_video():
    parts = [{"type": "video", "video": ["a", "b"]}, {"type": "video", "video": "c"}]
    given = with_message(role="user", content=parts)
    assert record.check(given) is None
    assert record.videos(given) == ["a\nb", "c"]
    assert list(record.media(given)) == [("video", "a\nb"), ("video", "c")]


def with_message(**message):
    return {"id": "a", "messages": [message]}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"messages": GOOD["messages"]}, "id: "),
        ({"id": 7, "messages": GOOD["messages"]}, "id: "),
        ({"id": "a"}, "messages: "),
        ({"id": "a", "messages": []}, "messages: "),
        ({"id": "a", "messages": ["x"]}, "messages[0]: expected an object"),
        (with_message(role="human", content="x"), "messages[0].role: 'human'"),
        (with_message(role="user"), "messages[0].content: missing"),
        (with_message(role="user", content=7), "messages[0].content: expected"),
        (with_message(role="user", content=[{"type": "audio"}]), "messages[0].content[0].type"),
        (with_message(role="user", content=[{"type": "image"}]), "messages[0].content[0].image"),
        (with_message(role="user", content=[{"type": "video", "video": []}]), "].video: expected"),
        (with_message(role="user", content=[{"type": "video", "video": [1]}]), "].video: expected"),
        (with_message(role="user", content=["x"]), "messages[0].content[0]: expected an object"),
        (with_message(role="user", content="x", reasoning_content="y"), "reasoning_content"),
        ({**GOOD, "task": 1}, "task: "),
        ({**GOOD, "responses": [1]}, "responses[0]: "),
        ({**GOOD, "tools": {}}, "tools: "),
    ],
)
def test_a_problem_says_where(wrong, where):
    assert where in str(record.check(wrong))


UNSOUND = [
    {},
    {"messages": None},
    {"messages": "x"},
    {"messages": ["x", 7, None]},
    {"messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": ["x"]}]},
    {"messages": [{"content": [{"type": ["image"]}, {"type": "text", "text": 7}]}, "x"]},
    {"messages": [{"role": "user", "content": [{"type": "image", "image": 7}]}]},
]


@pytest.mark.parametrize("unsound", UNSOUND)
def test_readers_take_any_record(unsound):
    assert record.check(unsound) is not None
    texts = [record.question, record.conversation_text, record.final_text, record.prompt_text]
    assert all(isinstance(read(unsound), str) for read in texts)
    assert record.images(unsound) == record.videos(unsound) == []
    assert record.modality(unsound) == record.media_kind(unsound) == "text"
    assert record.final(unsound) is None or record.text(record.final(unsound)) == ""


def test_scores_and_filters_read_the_same_question():
    """`select` and `mix --by` read it as rules, judges and verifiers do: without the format prompt."""
    asked = {"role": "user", "content": "What is 6 x 7?\nAnswer with a number."}
    given = {"id": "a", "messages": [asked], "format_prompt": "Answer with a number."}
    assert record.question(given) == "What is 6 x 7?"
    assert Expression("question()")(given) == record.question(given)
    assert Expression("prompt()")(given) == record.prompt_text(given)
    assert Expression("final()")(GOOD) == record.text(record.final(GOOD)) == "c"
    assert Expression("videos()")({}) == record.videos({})


def test_the_prompt_is_all_before_the_answer():
    assert record.prompt(GOOD) == GOOD["messages"][:-1]
    assert record.prompt({"messages": GOOD["messages"][:2]}) == GOOD["messages"][:2]
    assert record.prompt({"messages": 7}) == []


def test_scores_replace_those_of_an_earlier_run_and_leave_those_of_others():
    before = {
        "id": "a",
        "scores": {"one": {"x": 1, "y": 2}, "other": {"z": 3}},
        "responses": [{"scores": {"x": 1}}, {}],
    }
    done = record.with_scores(before, "one", {"y": 5}, [{"y": 6}, {"y": 7}])
    assert done["scores"] == {"one": {"y": 5}, "other": {"z": 3}}
    assert [each["scores"] for each in done["responses"]] == [{"x": 1, "y": 6}, {"y": 7}]
    assert record.with_scores(before, "one", {"y": 5}, update=True)["scores"]["one"] == {
        "x": 1,
        "y": 5,
    }
    assert record.with_scores(before, "one") == before
    assert record.scores_of(done, "one") == {"y": 5} and record.scores_of({}, "one") == {}
    assert before["scores"]["one"] == {"x": 1, "y": 2}


def test_sizes_are_those_of_text_and_media():
    draw = random.Random(0)
    values = ["words", "", "a.png", ["a", "b"], [], None, 5, {"x": 1}]
    kinds = ["text", "image", "video", "audio", None, 3, ["text"]]
    for _ in range(3000):
        parts = [
            {
                "type": draw.choice(kinds),
                draw.choice(["text", "image", "video"]): draw.choice(values),
            }
            if draw.random() < 0.9
            else draw.choice(values)
            for _ in range(draw.randrange(4))
        ]
        message = {"role": "user", "content": draw.choice([parts, parts, "words", None, 5])}
        found = {"messages": [message]}
        expected = len(record.text(message)), len(record.images(found)), len(record.videos(found))
        assert record.sizes(message) == expected
