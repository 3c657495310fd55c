"""The chat templates against the files that TRL ships, and against texts written by hand."""

import importlib.util
from pathlib import Path
from random import Random
from typing import Any

import conversations
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from qvl.tiny.model import template

CASES = 1000


def render(source: str, messages: list[dict], **options: Any) -> str:
    """As transformers renders it."""
    options = {"add_generation_prompt": False, "tools": None, **options}
    (text,), _ = render_jinja_template(conversations=[messages], chat_template=source, **options)
    return text


def trl(name: str) -> str:
    found = importlib.util.find_spec("trl")
    if found is None or not found.origin:
        pytest.skip("trl is not installed")
    return (Path(found.origin).parent / "chat_templates" / name).read_text()


def test_instruct_renders_what_the_real_one_renders():
    real, ours = trl("qwen3_vl.jinja"), template("instruct")
    rng = Random(0)
    seen = set()
    for _ in range(CASES):
        messages = conversations.conversation(rng)
        options = {
            "tools": rng.choice([None, [], conversations.TOOLS]),
            "add_generation_prompt": rng.random() < 0.5,
            "add_vision_id": rng.random() < 0.3,
        }
        text = render(real, messages, **options)
        assert render(ours, messages, **options) == text, messages
        seen.add(text)
    assert len(seen) > CASES * 0.9
    for mark in (
        "Picture 2: <|vision_start|><|image_pad|>",
        "Video 2: ",
        "</tool_response>\n<tool_",
    ):
        assert any(mark in text for text in seen), mark


def test_thinking_renders_text_like_its_language_model():
    real, ours = trl("qwen3.jinja"), template("thinking")
    rng = Random(1)
    thoughts = 0
    for _ in range(CASES):
        messages = conversations.conversation(rng, media=False, thoughts=True)
        for message in messages:  # that template knows no parts
            if not isinstance(message["content"], str):
                message["content"] = "".join(part["text"] for part in message["content"])
        options = {"tools": rng.choice([None, conversations.TOOLS])}
        text = render(real, messages, **options)
        assert render(ours, messages, **options) == text, messages
        thoughts += "<think>" in text
    assert thoughts > CASES * 0.2


IMAGE = {"type": "image", "image": "images/a.png"}
SEEN = "<|vision_start|><|image_pad|><|vision_end|>"


def user(content: Any) -> dict:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict:
    return {"role": "assistant", "content": content, **more}


@pytest.mark.parametrize(
    ("messages", "options", "text"),
    [
        (
            [user("Hi"), assistant("Yes", reasoning_content="hm")],
            {},
            "<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n<think>\nhm\n</think>\n\nYes<|im_end|>\n",
        ),
        (
            [user("Hi"), assistant("Yes")],
            {},
            "<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\nYes<|im_end|>\n",
        ),
        (
            [user([IMAGE, {"type": "text", "text": "What?"}])],
            {"add_generation_prompt": True},
            f"<|im_start|>user\n{SEEN}What?<|im_end|>\n<|im_start|>assistant\n<think>\n",
        ),
        (
            [
                user("1"),
                assistant("2", reasoning_content="a"),
                user("3"),
                assistant("<think>b</think>4"),
            ],
            {},
            "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
            "<|im_start|>user\n3<|im_end|>\n"
            "<|im_start|>assistant\n<think>\nb\n</think>\n\n4<|im_end|>\n",
        ),
        (
            [
                user([IMAGE, {"type": "text", "text": "Read it."}]),
                assistant(
                    None,
                    reasoning_content="zoom",
                    tool_calls=[{"function": {"name": "zoom", "arguments": {"x": 1}}}],
                ),
                {"role": "tool", "content": [IMAGE]},
                assistant("7", reasoning_content="clear"),
            ],
            {"add_vision_id": True},
            f"<|im_start|>user\nPicture 1: {SEEN}Read it.<|im_end|>\n"
            "<|im_start|>assistant\n<think>\nzoom\n</think>\n\n<tool_call>\n"
            '{"name": "zoom", "arguments": {"x": 1}}\n</tool_call><|im_end|>\n'
            f"<|im_start|>user\n<tool_response>\nPicture 2: {SEEN}\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\n<think>\nclear\n</think>\n\n7<|im_end|>\n",
        ),
    ],
    ids=["a thought", "no thought", "a prompt", "earlier thoughts go", "thoughts around a tool"],
)
def test_thinking_renders_by_its_rules(messages, options, text):
    assert render(template("thinking"), messages, **options) == text


def test_a_turn_of_calls_alone_needs_no_content():
    call = {"name": "zoom", "arguments": {}}
    expected = '<|im_start|>assistant\n<tool_call>\n{"name": "zoom", "arguments": {}}\n</tool_call>'
    assert expected in render(
        template("instruct"), [user("Hi"), assistant(None, tool_calls=[call])]
    )
