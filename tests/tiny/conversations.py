"""Random conversations of every shape that a chat template must render, by seed."""

from random import Random
from typing import Any

WORDS = [
    "",
    "x",
    "What is 2 + 3?",
    " spaces ",
    "two\nlines\n",
    "你好",
    "<b>&'\"</b>",
    "{{ x }}",
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "image_zoom_in_tool",
            "description": 'Zoom "in" on café\'s <corner>.',
            "parameters": {
                "type": "object",
                "properties": {"bbox_2d": {"type": "array", "items": {"type": "number"}}},
                "required": ["bbox_2d"],
            },
        },
    },
    {"name": "search", "parameters": {}},
]


def conversation(rng: Random, *, media: bool = True, thoughts: bool = False) -> list[dict]:
    """One to seven messages: tools call and answer, turns repeat, a system text may come first."""
    messages: list[dict] = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": content(rng, media=False)})
    for _ in range(rng.randint(1, 3)):
        messages.append({"role": "user", "content": content(rng, media=media)})
        for _ in range(rng.randint(0, 2)):
            messages.append(assistant(rng, calls=rng.random() < 0.6, thoughts=thoughts))
            for _ in range(rng.randint(0, 2)):
                messages.append({"role": "tool", "content": content(rng, media=media)})
        if rng.random() < 0.6:
            messages.append(assistant(rng, calls=rng.random() < 0.2, thoughts=thoughts))
    return messages


def content(rng: Random, *, media: bool) -> Any:
    if rng.random() < 0.4:
        return rng.choice(WORDS)
    return [part(rng, media=media) for _ in range(rng.randint(0, 3))]


def part(rng: Random, *, media: bool) -> dict:
    kind = rng.randrange(6 if media else 2)
    return [
        {"type": "text", "text": rng.choice(WORDS)},
        {"text": rng.choice(WORDS)},
        {"type": "image", "image": "images/a.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image"},
        {"type": "video", "video": "a.mp4"},
    ][kind]


def assistant(rng: Random, *, calls: bool, thoughts: bool) -> dict:
    message = {"role": "assistant", "content": content(rng, media=False)}
    if calls:
        message["tool_calls"] = [call(rng) for _ in range(rng.randint(1, 3))]
    if thoughts:
        how = rng.randrange(4)
        if how == 0:
            message["reasoning_content"] = rng.choice(["", "\nhm\n", "a\n\nb"])
        elif how == 1:
            message["content"] = rng.choice(
                ["<think>\nhm\n</think>\n\nyes", "hm</think>yes", "<think></think>", "\n\nyes"]
            )
    return message


def call(rng: Random) -> dict:
    arguments = rng.choice([{"bbox_2d": [1, 2, 3, 4], "label": "café <b>"}, '{"q": 1}', {}])
    function = {"name": rng.choice(["image_zoom_in_tool", "search"]), "arguments": arguments}
    return rng.choice([{"type": "function", "id": "1", "function": function}, function])
