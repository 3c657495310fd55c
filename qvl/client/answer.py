"""What an endpoint's answer means: its JSON, or the error that it is."""

from typing import Any

import orjson

from qvl.client.retries import REFUSED, RETRIED, Failure, Refused, retry_after
from qvl.errors import UserError


def read_answer(status: int, headers: Any, body: bytes, *, name: str, secret: str | None) -> dict:
    """The JSON of a good answer. Raises Failure (try again), Refused (the request) or UserError (the set-up)."""
    if status == 200:
        try:
            answer = orjson.loads(body or b"null")
        except orjson.JSONDecodeError:
            raise Failure("answered 200 with something that is not JSON") from None
        if answer is None:  # as engines answer some commands
            return {}
        if not isinstance(answer, dict):
            raise Failure("answered 200 with JSON that is not an object")
        return answer
    message = _message(body, secret)
    if status in REFUSED:
        raise Refused(f"the endpoint refuses it ({status}): {message}")
    if status in RETRIED:
        raise Failure(f"answered {status}: {message}", retry_after(headers.get("Retry-After")))
    hint = "; is QVL_API_KEY right?" if status in (401, 403) else ""
    raise UserError(f"{name}: answered {status}: {message}{hint}")


def check_completion(answer: dict) -> dict:
    """The answer, if it has choices that the engine finished; Failure otherwise."""
    choices = answer.get("choices")
    choices = choices if isinstance(choices, list) else []
    if not choices or not all(isinstance(_get(each, "message"), dict) for each in choices):
        raise Failure("answered 200 without choices")
    if any(_get(each, "finish_reason") in ("abort", "error") for each in choices):
        raise Failure("gave up in the middle of an answer")
    return answer


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _message(body: bytes, secret: str | None) -> str:
    """The server's error message, in OpenAI's shape or any other, in one short line."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = body.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    text = " ".join((said if isinstance(said, str) else str(said)).split()) or "no reason given"
    if secret:  # some servers repeat the key that they refuse
        text = text.replace(secret, "***")
    return text if len(text) <= 300 else text[:297] + "..."
