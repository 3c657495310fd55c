"""OpenAI's chat completions: the request's body is parsed, the response's shapes are built.

A parameter that this engine does not support is an error that names it.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from qvl.engines import tool_calls
from qvl.engines.local.batch import Row
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.grammar import parse_grammar
from qvl.engines.local.sampling import RowSampling
from qvl.engines.serving.http import BadRequest
from qvl.errors import UserError

MAX_TOP_LOGPROBS = 20  # as OpenAI
MAX_CHOICES = 128
MAX_STOPS, MAX_STOP_LENGTH = 64, 4096  # each is searched for after every token: our choice
LEAST_TEMPERATURE = 1e-5  # below it the most likely token is taken, as in vLLM
IGNORED = {"user", "metadata", "store", "service_tier", "model"}
NEUTRAL = {  # unsupported parameters, and the value that has no effect
    "repetition_penalty": 1.0,
    "min_p": 0.0,
    "parallel_tool_calls": True,
    "logit_bias": {},
    "ignore_eos": False,
    "skip_special_tokens": True,
}


@dataclass(frozen=True)
class ChatRequest:
    """A parsed request."""

    messages: list[dict]
    tools: list[dict] | None
    sampling: RowSampling
    max_tokens: int | None
    choices: int
    stops: list[str]
    top_logprobs: int | None
    stream: bool
    token_ids: bool
    grammar: str | None
    """of the completion: see grammar.py"""
    calls_tools: bool
    """tool calls in a completion are parsed"""
    stream_usage: bool
    """a stream ends with a chunk of usage"""


def parse(body: Any) -> ChatRequest:
    """The request in a decoded body. BadRequest says what is wrong with it."""
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    fields = {name: value for name, value in body.items() if value is not None}
    messages = [_message(each, i) for i, each in enumerate(_messages(fields.pop("messages", None)))]
    stops = fields.pop("stop", [])
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise BadRequest("stop: expected a string or a list of strings, none of them empty")
    if len(stops) > MAX_STOPS or any(len(stop) > MAX_STOP_LENGTH for stop in stops):
        raise BadRequest(f"stop: at most {MAX_STOPS} strings of {MAX_STOP_LENGTH} characters")
    top = integer(fields, "top_logprobs", 0, MAX_TOP_LOGPROBS, None)
    wants_logprobs = _flag(fields, "logprobs")
    if top is not None and not wants_logprobs:
        raise BadRequest("top_logprobs needs logprobs: true")
    max_tokens = integer(fields, "max_completion_tokens", 1, None, None)
    max_tokens = integer(fields, "max_tokens", 1, None, max_tokens)
    tools = _tools(fields.pop("tools", None))
    choice = fields.pop("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise BadRequest('tool_choice: the local engine supports "auto" and "none"')
    options = fields.pop("stream_options", {})
    if not isinstance(options, dict):
        raise BadRequest("stream_options: expected an object")
    temperature = number(fields, "temperature", 0, None, 1.0)
    sampling = RowSampling(
        temperature=temperature if temperature >= LEAST_TEMPERATURE else 0.0,
        top_p=number(fields, "top_p", 0, 1, 1.0),
        top_k=max(integer(fields, "top_k", -1, None, 0) or 0, 0),
        presence_penalty=number(fields, "presence_penalty", -2, 2, 0.0),
        frequency_penalty=number(fields, "frequency_penalty", -2, 2, 0.0),
        seed=_seed(fields),
    )
    try:
        grammar = parse_grammar(fields)
    except (UserError, ValueError) as error:
        raise BadRequest(str(error)) from None
    chat = ChatRequest(
        messages=messages,
        tools=tools or None,
        sampling=sampling,
        max_tokens=max_tokens,
        choices=integer(fields, "n", 1, MAX_CHOICES, 1) or 1,
        stops=stops,
        top_logprobs=(top or 0) if wants_logprobs else None,
        stream=_flag(fields, "stream"),
        token_ids=_flag(fields, "return_token_ids"),
        grammar=grammar,
        calls_tools=bool(tools) and choice == "auto",
        stream_usage=_flag({**options}, "include_usage"),
    )
    for name, value in fields.items():
        if name not in IGNORED and value != NEUTRAL.get(name, ...):
            raise BadRequest(f"{name}: the local engine does not support this parameter")
    return chat


def _messages(messages: Any) -> list:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: expected a non-empty list")
    return messages


def _message(message: Any, index: int) -> dict:
    """A message with its parts as the chat template takes them: image references at `image`."""
    where = f"messages[{index}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(f"{where}: expected an object with a role")
    _check_calls(message.get("tool_calls"), f"{where}.tool_calls")
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [_part(part, where) for part in content]}
    if content is not None and not isinstance(content, str):
        raise BadRequest(f"{where}.content: expected a string or a list of parts")
    return message if content is not None else {**message, "content": ""}


def _part(part: Any, where: str) -> dict:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind in ("image", "image_url"):
        reference = part.get(kind)
        if isinstance(reference, dict):
            reference = reference.get("url")
        if isinstance(reference, str):
            return {"type": "image", "image": reference}
    if kind in ("video", "video_url"):
        reference = part.get(kind)
        if isinstance(reference, dict):
            reference = reference.get("url")
        frames = reference if isinstance(reference, list) and kind == "video" else [reference]
        if frames and all(isinstance(each, str) for each in frames):
            return {"type": "video", "video": reference}
    raise BadRequest(f"{where}: expected parts of type text, image_url or video_url")


def _tools(tools: Any) -> list[dict] | None:
    if tools is not None and not isinstance(tools, list):
        raise BadRequest("tools: expected a list")
    for i, tool in enumerate(tools or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"tools[{i}]: expected an object with a function that has a name")
    return tools or None


def _check_calls(calls: Any, where: str) -> None:
    """BadRequest unless a message's tool_calls have OpenAI's shape, or are absent."""
    if calls is not None and not isinstance(calls, list):
        raise BadRequest(f"{where}: expected a list")
    for call in calls or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"{where}: expected objects with a function that has a name")


def text_length(chat: ChatRequest) -> int:
    """Characters of all texts of a request, without the references of media."""
    waiting: list[Any] = [chat.messages, chat.tools]
    length = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            length += len(value)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [each for name, each in value.items() if name not in ("image", "video")]
            length += sum(map(len, value))
    return length


def number(fields: dict, name: str, low: float, high: float | None, default: float) -> float:
    value = fields.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e9:
        raise BadRequest(f"{name}: expected a number from {low}" + (f" to {high}" if high else ""))
    if high is not None and value > high:
        raise BadRequest(f"{name}: expected a number from {low} to {high}")
    return float(value)


def integer(fields: dict, name: str, low: int, high: int | None, default: int | None) -> int | None:
    value = fields.pop(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise BadRequest(f"{name}: expected a whole number, at least {low}")
    if high is not None and value > high:
        raise BadRequest(f"{name}: at most {high}")
    return value


def _flag(fields: dict, name: str) -> bool:
    value = fields.pop(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: expected true or false")
    return value


def _seed(fields: dict) -> int:
    value = fields.pop("seed", None)
    if value is None:
        return secrets.randbits(64)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("seed: expected a whole number")
    return value


def completion(
    checkpoint: Checkpoint, name: str, chat: ChatRequest, rows: list[Row], identity: str
) -> dict:
    """The body of a response that is not streamed."""
    return {
        "id": identity,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [_choice(checkpoint, chat, row, i) for i, row in enumerate(rows)],
        "usage": usage(rows),
        "weight_version": rows[0].version,
        **({"prompt_token_ids": rows[0].prompt.ids} if chat.token_ids else {}),
    }


def usage(rows: list[Row]) -> dict:
    prompt, completions = len(rows[0].prompt.ids), sum(len(row.tokens) for row in rows)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completions,
        "total_tokens": prompt + completions,
    }


def chunk(head: dict, index: int, delta: dict, finish_reason: str | None = None) -> dict:
    """One event of a streamed response. head: of all its events, see chunk_head."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**head, "choices": [choice]}


def chunk_head(name: str, identity: str) -> dict:
    """What all events of a streamed response have."""
    head = {"id": identity, "object": "chat.completion.chunk", "created": int(time.time())}
    return {**head, "model": name}


def last_deltas(chat: ChatRequest, row: Row, sent: int) -> list[tuple[dict, str | None]]:
    """What a stream of a finished row still lacks, `sent` characters of its text being sent."""
    message, finish_reason = _message_of(chat, row, row.text.text if row.text else "")
    rest = message["content"][sent:]
    deltas: list[dict] = [{"content": rest}] if rest else []
    calls = message.get("tool_calls", ())
    deltas += [{"tool_calls": [{"index": i, **call}]} for i, call in enumerate(calls)]
    return [*((delta, None) for delta in deltas), ({}, finish_reason)]


def _message_of(chat: ChatRequest, row: Row, text: str) -> tuple[dict[str, Any], str | None]:
    """The message of a completion with this text, and its finish reason."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    parsed = tool_calls.parse(text) if chat.calls_tools else None
    if not parsed or not parsed.calls:
        return message, row.finish_reason
    message |= {"content": parsed.content, "tool_calls": parsed.calls}
    return message, "tool_calls" if row.finish_reason == "stop" else row.finish_reason


def _choice(checkpoint: Checkpoint, chat: ChatRequest, row: Row, index: int) -> dict:
    text = row.text.text if row.text else checkpoint.decode(row.tokens)
    message, finish_reason = _message_of(chat, row, text)
    choice: dict[str, Any] = {
        "index": index,
        "message": message,
        "finish_reason": finish_reason,
        "logprobs": None,
    }
    if chat.top_logprobs is not None:
        choice["logprobs"] = {"content": _logprobs(checkpoint, row), "refusal": None}
    if chat.token_ids:
        choice["token_ids"] = row.tokens
    return choice


def _logprobs(checkpoint: Checkpoint, row: Row) -> list[dict]:
    def entry(token: int, logprob: float) -> dict:
        text = checkpoint.tokenizer.backend_tokenizer.decode([token], skip_special_tokens=False)
        return {"token": text, "logprob": logprob, "bytes": list(checkpoint.token_bytes(token))}

    return [
        {**entry(token, logprob), "top_logprobs": [entry(*each) for each in top]}
        for token, (logprob, top) in zip(row.tokens, row.logprobs, strict=True)
    ]
