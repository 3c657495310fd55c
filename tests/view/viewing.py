"""Streams with everything that the page shows, and a running `qvl view`."""

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

QVL = str(Path(sys.executable).parent / "qvl")
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
SVG = "<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked = 3'><script>window.hacked = 4</script></svg>"


def picture(path: Path, size: tuple[int, int] = (300, 200)) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = numpy.zeros((size[1], size[0], 3), "uint8")
    pixels[:, : size[0] // 2] = (200, 60, 40)
    Image.fromarray(pixels).save(path)


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    parts = [
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(b"\0" * 1000)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def user(*parts: Any) -> dict:
    return {"role": "user", "content": list(parts)}


def image(reference: str) -> dict:
    return {"type": "image", "image": reference}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def group(ids: list[int]) -> dict:
    """A record as `qvl rl sapo` leaves it in a file of rollouts."""
    responses = [
        {
            "content": f"The answer is {answer}.",
            "reasoning_content": "Two and two.",
            "finish_reason": "stop",
            "num_tokens": len(ids),
            "token_ids": ids,
            "logprobs": [-0.1] * len(ids),
            "trainer_logprobs": [-0.3] * len(ids),
            "reward": float(answer == 4),
            "rewards": {"math": float(answer == 4)},
            "advantage": 1.0 if answer == 4 else -1.0,
            "verdict": {"verifier": "math", "status": "ok", "extracted": str(answer)},
        }
        for answer in (4, 5)
    ]
    question = [{"role": "user", "content": "What is 2 + 2?"}]
    return {
        "id": "group",
        "task": "math",
        "answer": "4",
        "messages": question,
        "responses": responses,
    }


def records(folder: Path, ids: list[int]) -> list[dict]:
    picture(folder / "images" / "cards.png")
    (folder / "images" / "huge.png").write_bytes(huge_png(60_000, 60_000))
    (folder / "images" / "evil.png").write_text(SVG)
    svg = "data:image/svg+xml;base64," + base64.b64encode(SVG.encode()).decode()
    zoom = {
        "name": "image_zoom_in_tool",
        "arguments": '{"bbox_2d": [0, 0, 500, 1000], "img_idx": 0}',
    }
    return [
        {
            "id": "agent",
            "task": "agent",
            "messages": [
                user(image("images/cards.png"), text("Which card is red?")),
                {
                    "role": "assistant",
                    "reasoning_content": "I should look closer.",
                    "content": "",
                    "tool_calls": [{"function": zoom}],
                },
                {"role": "tool", "content": [image("images/cards.png"), text("a crop")]},
                {"role": "assistant", "content": "The left one.\n```python\nprint(1)\n```"},
            ],
            "scores": {"filter-queries": {"complexity": 3}},
        },
        {
            "id": "box",
            "task": "grounding",
            "answer": {"bbox_2d": [0, 0, 500, 1000], "label": "red"},
            "messages": [user(image("images/cards.png"), text("Locate the red card."))],
            "responses": [{"content": "[10, 10, 400, 900]", "reward": 0.8}],
        },
        group(ids),
        {
            "id": "rejected",
            "messages": [{"role": "user", "content": "la la la"}],
            "reject": {
                "stage": "filter-responses",
                "reason": "repetition",
                "detail": "la, 3 times",
            },
        },
        {
            "id": SCRIPT,
            "task": SCRIPT,
            "source": SVG,
            "answer": SCRIPT,
            "messages": [
                user(
                    image(svg),
                    image("images/evil.png"),
                    image("images/huge.png"),
                    image("../../etc/passwd"),
                    image("javascript:window.hacked = 5"),
                    text(
                        f"{SCRIPT} {SVG} [x](javascript:window.hacked=6) <a href='javascript:1'>y</a>"
                    ),
                ),
                {"role": SCRIPT, "content": SCRIPT, "reasoning_content": SCRIPT},
                {"role": "assistant", "content": "{" * 3_000_000},
            ],
            "tools": [{"function": {"name": SCRIPT, "description": SVG}}],
            "responses": [{"content": SCRIPT, "reward": 1, "verdict": {"detail": SVG}}],
            "scores": {SCRIPT: {SCRIPT: SVG}, "__proto__": {"toString": 1}},
            "reject": {"stage": SCRIPT, "reason": SVG},
        },
    ]


def write(folder: Path, ids: list[int], more: int = 0) -> Path:
    """A stream of `records` and `more` short ones."""
    path = folder / "stream.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for record in records(folder, ids):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.write('{"broken\n')
        for number in range(more):
            words = f"Question {number}: how many?"
            record = {"id": f"q{number}", "task": ("ocr", "math")[number % 2]}
            record |= {"messages": [{"role": "user", "content": words}]}
            file.write(json.dumps(record) + "\n")
    return path


class Viewing:
    """A running `qvl view`, used as a context; `url` is the address that it printed."""

    def __init__(self, *words: object) -> None:
        self.process = subprocess.Popen(
            [QVL, "view", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Viewing":
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.url = line.split()[-1]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
