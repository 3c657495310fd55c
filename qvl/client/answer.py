"""Parse the HTTP answer of an endpoint: its JSON, or the exception for its error."""

from typing import Any

import orjson

from qvl.client.retries import REFUSED, RETRIED, Failure, Refused, retry_after
from qvl.errors import UserError


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


def check_completion(answer: dict) -> dict:
    """The answer; Failure if it has no choices, or one that the engine did not finish."""
    choices = answer.get("choices")
    choices = choices if isinstance(choices, list) else []
    if not choices or not all(isinstance(_get(each, "message"), dict) for each in choices):
        raise Failure("answered 200 without choices")
    if any(_get(each, "finish_reason") in ("abort", "error") for each in choices):
        raise Failure("aborted the answer")
    return answer


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
