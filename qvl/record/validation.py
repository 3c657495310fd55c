"""What is wrong with a record, in sentences that say where: `qvl check`, and every stage before it works."""

from collections.abc import Iterator
from typing import Any

from qvl.record.types import MEDIA, ROLES


def check(record: Any) -> str | None:
    """The first thing that is wrong with a record; None for a sound one."""
    for problem in problems(record):
        return problem
    return None


def problems(record: Any) -> Iterator[str]:
    """Everything that is wrong with a record."""
    if not isinstance(record.get("id"), str) or not record["id"]:
        yield "id: expected a string that is not empty"
    for field in ("task", "source"):
        if field in record and not isinstance(record[field], str):
            yield f"{field}: expected a string"
    for field in ("tools", "responses"):
        if field in record and not isinstance(record[field], list):
            yield f"{field}: expected a list"
    if "scores" in record and not isinstance(record["scores"], dict):
        yield "scores: expected an object"
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: expected a list that is not empty"
        return
    for index, message in enumerate(messages):
        yield from _message_problems(message, f"messages[{index}]")
    for index, response in enumerate(_list(record.get("responses"))):
        if not isinstance(response, dict):
            yield f"responses[{index}]: expected an object"
        elif not isinstance(response.get("content") or "", str):
            yield f"responses[{index}].content: expected a string"
        elif not _TOKEN_FIELDS.keys().isdisjoint(response):
            yield from _token_problems(response, f"responses[{index}]")


_TOKEN_FIELDS = {"prompt_token_ids": {int}, "token_ids": {int}, "logprobs": {float, int}}


def _token_problems(response: dict, where: str) -> Iterator[str]:
    for field, types in _TOKEN_FIELDS.items():
        values = response.get(field, [])
        if not isinstance(values, list) or not types.issuperset(map(type, values)):
            noun = "numbers" if field == "logprobs" else "integers"
            yield f"{where}.{field}: expected a list of {noun}"
            return
    if "token_ids" in response and "logprobs" in response:
        ids, logprobs = len(response["token_ids"]), len(response["logprobs"])
        spans = response.get("sampled", [[0, ids]])  # an agent reads the others
        if not _are_spans(spans, ids):
            yield f"{where}.sampled: expected [begin, end] pairs in ascending order, up to {ids}"
        elif sum(end - begin for begin, end in spans) != logprobs:
            sampled = "sampled" if "sampled" in response else ids
            yield f"{where}.logprobs: {logprobs} for {sampled} token_ids"


def _are_spans(spans: Any, length: int) -> bool:
    if not isinstance(spans, list):
        return False
    last = 0
    for span in spans:
        if not isinstance(span, list) or len(span) != 2 or {int} != set(map(type, span)):
            return False
        if not last <= span[0] <= span[1] <= length:
            return False
        last = span[1]
    return True


def _message_problems(message: Any, where: str) -> Iterator[str]:
    if not isinstance(message, dict):
        yield f"{where}: expected an object"
        return
    if message.get("role") not in ROLES:
        yield f"{where}.role: {message.get('role')!r} is not one of {', '.join(ROLES)}"
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            yield from _part_problems(part, f"{where}.content[{index}]")
    elif content is None:
        if not message.get("tool_calls"):
            yield f"{where}.content: missing, and there are no tool_calls"
    elif not isinstance(content, str):
        yield f"{where}.content: expected a string or a list of parts"
    if "reasoning_content" in message and message.get("role") != "assistant":
        yield f"{where}.reasoning_content: only an assistant turn has one"
    yield from _loss_problems(message, where)
    if "tool_calls" in message and not isinstance(message["tool_calls"], list):
        yield f"{where}.tool_calls: expected a list"


def _part_problems(part: Any, where: str) -> Iterator[str]:
    if not isinstance(part, dict):
        yield f"{where}: expected an object"
        return
    yield from _loss_problems(part, where)
    kind = part.get("type")
    if kind == "text" or kind in MEDIA:
        found = part.get(kind)
        if kind == "video" and isinstance(found, list):
            if not found or not all(isinstance(each, str) for each in found):
                yield f"{where}.video: expected a string, or a list of frames that is not empty"
        elif not isinstance(found, str):
            yield f"{where}.{kind}: expected a string"
    else:
        yield f"{where}.type: {kind!r} is not one of text, image, video"


def _loss_problems(holder: dict, where: str) -> Iterator[str]:
    if not isinstance(holder.get("loss", True), bool):
        yield f"{where}.loss: expected true or false"


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []
