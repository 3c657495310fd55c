"""Parse the HTTP answer of an endpoint: its JSON, or the exception for its error."""

from typing import Any

import orjson

from qvl.client.retries import REFUSED, RETRIED, Failure, Refused, retry_after
from qvl.errors import UserError

TEXTS = ("content", "reasoning_content", "reasoning", "tool_calls")  # of a message, made sound


def read_answer(status: int, headers: Any, body: bytes, *, name: str, secret: str | None) -> dict:
    """The JSON of an answer with status 200; else Failure, Refused or, for a wrong set-up, UserError."""
    if status == 200:
        try:
            answer = orjson.loads(body or b"null")
        except orjson.JSONDecodeError:
            raise Failure("answered 200 without JSON") from None
        if answer is None:  # engines answer some commands without a body
            return {}
        if not isinstance(answer, dict):
            raise Failure("answered 200 with JSON that is not an object")
        return answer
    message = _message(body, secret)
    if status in REFUSED:
        raise Refused(f"the endpoint refused the request ({status}): {message}")
    if status in RETRIED:
        raise Failure(f"answered {status}: {message}", retry_after(headers.get("Retry-After")))
    hint = "; is QVL_API_KEY right?" if status in (401, 403) else ""
    raise UserError(f"{name}: answered {status}: {message}{hint}")


def served_names(answer: dict) -> list[str]:
    """The names of the models in an answer of /v1/models."""
    models = answer.get("data")
    names = [_get(each, "id") for each in models] if isinstance(models, list) else []
    return [name for name in names if isinstance(name, str)]


def check_completion(answer: dict) -> dict:
    """The answer in OpenAI's shape, whatever dialect the server speaks; Failure if it has no choices, or
    one that the engine did not finish.

    Content may come as a list of parts, some of them thoughts (Mistral), numbers of tokens as text.
    """
    choices = answer.get("choices")
    choices = choices if isinstance(choices, list) else []
    if not choices or not all(isinstance(_get(each, "message"), dict) for each in choices):
        raise Failure("answered 200 without choices")
    if any(_get(each, "finish_reason") in ("abort", "error") for each in choices):
        raise Failure("aborted the answer")
    model = answer.get("model")
    return {
        **answer,
        "model": model if isinstance(model, str) else None,
        "choices": [_choice(each) for each in choices],
        "usage": _usage(answer.get("usage")),
    }


def _choice(choice: dict) -> dict:
    message = choice["message"]
    content, thought = _text(message.get("content"))
    for name in ("reasoning_content", "reasoning"):
        more, _ = _text(message.get(name))
        thought = thought or more
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(each, dict) for each in calls):
        raise Failure("answered 200 with tool calls that are not objects")
    sound = {name: message[name] for name in message if name not in TEXTS}
    sound["content"] = content
    if thought:
        sound["reasoning_content"] = thought
    if calls:
        sound["tool_calls"] = calls
    reason = choice.get("finish_reason")
    return {
        **choice,
        "message": sound,
        "finish_reason": reason if isinstance(reason, str) else None,
    }


def _text(content: Any) -> tuple[str, str]:
    """The text of a content and its thoughts. Failure if it has another kind of part."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise Failure("answered 200 with content that is no text")
    texts, thoughts = [], []
    for part in content:
        kind = _get(part, "type")
        if isinstance(part, str):
            texts.append(part)
        elif kind in ("text", "output_text") and isinstance(_get(part, "text"), str):
            texts.append(part["text"])
        elif kind in ("thinking", "reasoning"):
            inner = _get(part, "thinking") or _get(part, "text")
            thoughts.append(_text(inner)[0])
        else:
            raise Failure(f"answered 200 with content of type {str(kind)[:40]!r}")
    return "".join(texts), "".join(thoughts)


def _usage(usage: Any) -> dict[str, int]:
    """The numbers of tokens that are numbers, or texts of them."""
    fields = ("prompt_tokens", "completion_tokens", "total_tokens")
    values = {name: _get(usage, name) for name in fields}
    return {name: int(value) for name, value in values.items() if _is_count(value)}


def _is_count(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 16
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _message(body: bytes, secret: str | None) -> str:
    """The error message of a server in one short line, in OpenAI's format or any other."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = body.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(message, dict) and name in message:
            message = message[name]
    text = " ".join(str(message).split()) or "no reason given"
    if secret:  # some servers repeat the key that they reject
        text = text.replace(secret, "***")
    return text if len(text) <= 300 else text[:297] + "..."
