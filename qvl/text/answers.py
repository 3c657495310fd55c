"""The answers in a record: its final turn, and each of the sampled `responses`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from qvl.record import final, text, without_format_prompt
from qvl.text import thinking


class Answer(NamedTuple):
    """One answer, with its reasoning separate, in whichever field the record has it."""

    content: str  # what the user reads
    reasoning: str  # reasoning_content, or the thinking in the content (qvl.text.thinking)
    raw: str  # the content as in the record
    field: str  # reasoning_content as in the record
    finish_reason: str
    calls: bool  # it calls a tool, so it may be empty


def of_message(message: Any, finish_reason: str = "") -> Answer:
    raw = text(message)
    field = message.get("reasoning_content") or ""
    reasoning, content = (field, raw) if field else thinking.split(raw)
    return Answer(content, reasoning, raw, field, finish_reason, bool(message.get("tool_calls")))


def of_response(response: dict) -> Answer:
    """The last assistant turn of a response, which for an agent is a whole trajectory."""
    reason = response.get("finish_reason") or ""
    if "content" not in response and response.get("messages"):
        return of_message(final(response) or {}, reason)
    return of_message(response, reason)


def of_record(record: dict) -> tuple[Answer | None, list[Answer]]:
    """The final assistant turn, or None, and the responses."""
    turn = final(record)
    return turn and of_message(turn), [of_response(one) for one in record.get("responses") or []]


def query(record: dict) -> str:
    """The texts of all user and system turns, without the format prompt."""
    return "\n".join(_query_texts(record))


def _query_texts(record: dict) -> Iterator[str]:
    for message in record.get("messages") or []:
        if message.get("role") in ("user", "system"):
            yield without_format_prompt(text(message), record)
