"""Tool calls in the text of a completion, whole and as it grows."""

import json

import pytest

from qvl.engines import tool_calls


def call(name="f", **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def functions(text):
    parsed = tool_calls.parse(text)
    return parsed.content, [
        (each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in parsed.calls
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no call", ("no call", [])),
        (call(a=1), ("", [("f", {"a": 1})])),
        (
            "First.\n" + call(a="\u00e9") + "\n" + call("g"),
            ("First.", [("f", {"a": "\u00e9"}), ("g", {})]),
        ),
        (call(a=1).removesuffix("</tool_call>"), ("", [("f", {"a": 1})])),
        (
            "<think>\n<tool_call>hm</tool_call>\n</think>\n\nok",
            ("<think>\n<tool_call>hm</tool_call>\n</think>\n\nok", []),
        ),
        ("<think>\nhm\n</think>\n\n" + call(), ("<think>\nhm\n</think>", [("f", {})])),
    ],
)
def test_calls_are_parsed(text, expected):
    assert functions(text) == expected


@pytest.mark.parametrize(
    "broken",
    [
        "<tool_call>",
        "<tool_call>\n{\n</tool_call>",
        "<tool_call>[]</tool_call>",
        '<tool_call>{"name": 5}</tool_call>',
        "<tool_call>" + "[" * 9999 + "</tool_call>",
    ],
)
def test_a_malformed_call_leaves_the_text_as_it_is(broken):
    for text in (broken, "a " + broken, call() + broken):
        assert functions(text) == (text, [])


def test_arguments_are_json_text_as_the_engines_write_it():
    (found,) = tool_calls.parse(call(a=1, b=[2])).calls
    assert found["function"]["arguments"] == '{"a": 1, "b": [2]}'
    assert found["type"] == "function" and found["id"].startswith("call_")


@pytest.mark.parametrize("text", ["a <tool b", "Hi <\n" + call(a=1), "x\n\n\n<tool_call", "\n\n"])
def test_a_growing_text_shows_only_what_stays_content(text):
    shown = ""
    for end in range(len(text) + 1):
        now = tool_calls.settled(text[:end])
        assert now.startswith(shown)
        shown = now
    assert tool_calls.parse(text).content.startswith(shown)
