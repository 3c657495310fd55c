"""Calls as models write them, and as they should not."""

import pytest

from qvl.agent.calls import Call, Unreadable, read

ZOOM = {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}


def made(turn):
    """The calls, all of which can be read."""
    calls = [each for each in turn.calls if isinstance(each, Call)]
    assert len(calls) == len(turn.calls)
    return calls


def wrapped(text):
    return f"<tool_call>\n{text}\n</tool_call>"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}}',
        '{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0,},}',
        '{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0',
        "{'name': 'zoom', 'arguments': {'bbox_2d': [1, 2, 3, 4], 'label': 'a b', 'img_idx': 0}}",
        '{name: "zoom", arguments: {bbox_2d: [1, 2, 3, 4], label: "a b", img_idx: 0}}',
        '```json\n{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}}\n```',
        '{"name": "zoom", "arguments": "{\\"bbox_2d\\": [1, 2, 3, 4], \\"label\\": \\"a b\\", \\"img_idx\\": 0}"}',
        '{"name": "zoom", "parameters": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}}',
        '{"function": {"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}}}',
        '{"name": "zoom", "bbox_2d": [1, 2, 3, 4], "label": "a b", "img_idx": 0}',
    ],
)
def test_common_slips_are_read(text):
    assert read(wrapped(text)).calls == [Call("zoom", ZOOM)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("zoom in on the sign", "not JSON"),
        ('["zoom"]', "no JSON object"),
        ('{"arguments": {}}', "no name"),
        ('{"name": 5, "arguments": {}}', "no name"),
        ('{"name": "zoom", "arguments": "the sign"}', "arguments are not JSON"),
        ("[" * 100_000, "longer than"),
        ("[" * 30_000, "not JSON"),
        ('{"name": "zoom", "arguments": {"x": ' + "9" * 10_000 + "}}", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_cannot_be_read_says_why(text, reason):
    (found,) = read(wrapped(text)).calls
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_several_calls_and_the_words_before_them():
    text = "I look twice.\n" + wrapped('{"name": "a", "arguments": {}}') + "\n" + wrapped("?")
    found = read(text)
    assert found.content == "I look twice."
    assert [type(each) for each in found.calls] == [Call, Unreadable]
    assert not found.is_readable


def test_a_missing_end_is_no_end_of_the_calls():
    found = read(
        '<tool_call>\n{"name": "a", "arguments": {}}\n<tool_call>\n{"name": "b", "arguments": {}}'
    )
    assert [each.name for each in made(found)] == ["a", "b"]


def test_none_is_read_inside_the_thought():
    inside = wrapped('{"name": "a", "arguments": {}}')
    assert read(f"<think>\n{inside}\n</think>\n\nIt is 5.").calls == []
    assert read(f"{inside}\n</think>\n\nIt is 5.", opens_thought=True).calls == []
    assert read(f"<think>\nI could {inside}").calls == []
    assert read(f"I could {inside}", opens_thought=True).calls == []
    after = wrapped('{"name": "b", "arguments": {}}')
    both = read(f"<think>\n{inside}\n</think>\n\n{after}")
    assert [each.name for each in made(both)] == ["b"]
    assert both.reasoning == inside


def test_calls_after_a_response_that_the_model_invented_are_not_run():
    one, other = (wrapped(f'{{"name": "{name}", "arguments": {{}}}}') for name in "ab")
    found = read(f"{one}\n<tool_response>\nIt is red.\n</tool_response>\n{other}")
    first, second = found.calls
    assert first == Call("a", {})
    assert isinstance(second, Unreadable) and "no tool wrote" in second.reason


def test_numbers_that_are_none_reach_the_tool_which_refuses_them():
    (found,) = made(read(wrapped('{"name": "zoom", "arguments": {"bbox_2d": [NaN, 0, 1, 2]}}')))
    assert found.arguments["bbox_2d"][0] != found.arguments["bbox_2d"][0]
