"""Whether an answer has the form that its task and its readers expect."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from qvl.text import words, written_about
from qvl.text.answers import Answer
from qvl.text.asked_for import AskedFor

SPECIAL = re.compile(r"<\|[a-zA-Z_0-9]{2,40}\|>|\[/?INST\]|<unk>|<pad>|</?tool_response>|\ufffd")
CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
FENCED_JSON = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)
ASKS_JSON = re.compile(r"(?<![A-Za-z_.])json(?![A-Za-z_])", re.IGNORECASE)
BOX_KEYS = ("bbox_2d", "bbox", "box")
COORDINATES = 1000  # Qwen3-VL's boxes are relative, 0 to 1000


def special_token(answer: Answer, query: str) -> str:
    """A token of the chat template or a replacement character in an answer, unless quoted, in code or in the query;
    else ""."""
    for text in (answer.raw, answer.field):
        if "<" in text or "[" in text or "\ufffd" in text:
            for found in SPECIAL.finditer(text):
                quoted = text[max(0, found.start() - 1) : found.start()] in QUOTES
                if quoted or found.group() in query or written_about.in_code(text, found.start()):
                    continue
                return repr(found.group())
    return ""


QUOTES = ("`", "'", '"', "“", "「")  # before a token that a text writes about


def think_tags(answer: Answer, thinking: str) -> str:
    """What is wrong with the thinking: misplaced tags, or thinking where `thinking` forbids it, or none where it
    requires it; else ""."""
    raw = written_about.without_tags(answer.raw)
    if "think>" in raw or "think>" in written_about.without_tags(answer.field):
        if answer.field:
            return "<think> beside reasoning_content"
        opened, closed = raw.count("<think>"), raw.count("</think>")
        if opened > 1 or closed > 1 or opened > closed:
            return f"{opened} <think>, {closed} </think>"
        if opened and not raw.lstrip().startswith("<think>"):
            return "<think> is not at the start"
    thinks = bool(answer.reasoning.strip()) or "</think>" in raw
    if thinking == "forbid" and thinks:
        return "thinking in instruct data"
    if thinking == "require" and not thinks:
        return "no thinking"
    return ""


def tool_calls(answer: Answer) -> str:
    """A tool call in the text that is not a JSON object with a name; else ""."""
    raw = written_about.without_tags(answer.raw)
    if "<tool_call>" not in raw and "</tool_call>" not in raw:
        return ""
    if raw.count("<tool_call>") != raw.count("</tool_call>"):
        return "<tool_call> and </tool_call> do not match"
    for body in CALL.findall(raw):
        call = _json(body)
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return f"not a call: {body.strip()[:40]!r}"
    return ""


def bad_json(answer: Answer, task: str, request: str) -> str:
    """What is wrong with the JSON that `request` or the task requires: it does not parse, is missing, or holds
    an invalid box; else ""."""
    if task != "grounding" and not ASKS_JSON.search(request):
        return ""
    body = _attempt(answer.content)
    if not body:
        return "" if answer.calls else _no_json(answer.content, request)
    value = _json(body)
    if value is None:
        return f"not JSON: {body[:40]!r}"
    return _bad_box(value) if task == "grounding" else ""


def _no_json(content: str, request: str) -> str:
    """ "no JSON" for a text without any, if the request requires JSON; else ""."""
    if not content.strip() or "{" in content or "[" in content:
        return ""
    return "no JSON" if words.patterns("asks_json").find(request.lower()) else ""


def _attempt(content: str) -> str:
    """The part of the content that begins as JSON does: a fenced block, or all of it; else ""."""
    stripped = content.strip()
    if "```" in stripped and (found := FENCED_JSON.search(stripped)):
        body = found.group(1).strip()
        return body if body[:1] in "{[" else ""
    return stripped if stripped[:1] in ("{", "[") else ""


def _json(body: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _bad_box(value: Any) -> str:
    for item in value if isinstance(value, list) and not _numbers(value) else [value]:
        boxes = [item.get(key) for key in BOX_KEYS if key in item] if isinstance(item, dict) else []
        for box in boxes or ([item] if isinstance(item, list) else []):
            if problem := _box_problem(box):
                return problem
    return ""


def _numbers(value: list) -> bool:
    return bool(value) and all(isinstance(one, int | float) for one in value)


def _box_problem(box: Any) -> str:
    if not isinstance(box, list) or len(box) != 4 or not _numbers(box):
        return f"not a box: {str(box)[:40]}"
    x1, y1, x2, y2 = box
    if min(box) < 0 or max(box) > COORDINATES:
        return f"box {box} is outside 0 to {COORDINATES}"
    return "" if x1 < x2 and y1 < y2 else f"box {box} has corners in the wrong order"


REASONS: dict[str, Callable[[Answer, AskedFor, str], str]] = {
    "special-token": lambda answer, asked_for, _: special_token(answer, asked_for.query),
    "think-format": lambda answer, _, thinking: think_tags(answer, thinking),
    "tool-format": lambda answer, _, __: tool_calls(answer),
    "bad-json": lambda answer, asked_for, _: bad_json(answer, asked_for.task, asked_for.form),
}


def problems(
    answer: Answer, asked_for: AskedFor, thinking: str = "allow"
) -> Iterator[tuple[str, str]]:
    """The reason and the detail of each defect in an answer's form."""
    for reason, rule in REASONS.items():
        detail = rule(answer, asked_for, thinking)
        if detail:
            yield reason, detail
