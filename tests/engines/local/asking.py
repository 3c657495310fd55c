"""What tests of the local engine ask it, and how they read its answers."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import torch


def post(served, body, path="/v1/chat/completions"):
    """(status, answer)"""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def ask(served, content, **sampling):
    """The response to one request; greedy by default."""
    messages = [{"role": "user", "content": content}]
    body = {"messages": messages, "temperature": 0, "return_token_ids": True, **sampling}
    status, answer = post(served, body)
    assert status == 200, answer
    return answer


def tokens(answer):
    return [choice["token_ids"] for choice in answer["choices"]]


def text(answer):
    return answer["choices"][0]["message"]["content"]


def data_uri(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def with_image(reference, words="what?"):
    return [
        {"type": "image_url", "image_url": {"url": reference}},
        {"type": "text", "text": words},
    ]


def with_video(reference, words="what?"):
    return [{"type": "video", "video": reference}, {"type": "text", "text": words}]


def load(folder) -> Any:
    from transformers import Qwen3VLForConditionalGeneration

    return Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
