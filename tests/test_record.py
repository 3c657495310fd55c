import pytest

from qvl import record

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


def test_a_video_may_be_a_list_of_frames():
    parts = [{"type": "video", "video": ["a", "b"]}, {"type": "video", "video": "c"}]
    given = with_message(role="user", content=parts)
    assert record.check(given) is None
    assert record.videos(given) == ["a", "b", "c"]


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
