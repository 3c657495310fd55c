"""A record as a line of the list: what it is about, and how it came out."""

from typing import Any

from qvl import record as records
from qvl.reward import RIGHT

MAX_CHARACTERS = 180  # of the text, two lines in the list
Row = dict[str, Any]


def row(record: dict[str, Any], number: int) -> Row:
    """The line of a record; what it lacks is left out."""
    found: Row = {"n": number, "id": short(record.get("id"), 60), "text": title(record)}
    for field in ("task", "source"):
        if isinstance(record.get(field), str):
            found[field] = short(record[field], 40)
    if is_pack(record):
        found["pack"] = pack_facts(record)
        return found
    kinds = [kind for kind, _ in records.media(record)]
    if kinds:
        found["images"], found["videos"] = kinds.count("image"), kinds.count("video")
    if isinstance(record.get("reject"), dict):
        found["reject"] = short(record["reject"].get("reason"), 40)
    if responses := responses_of(record):
        found["responses"] = response_facts(responses)
    return found


def title(record: dict[str, Any]) -> str:
    """The question, or what else says what a record is about."""
    text = records.question(record) or records.conversation_text(record)
    if not text and isinstance(record.get("line"), str):
        text = record["line"]
    return " ".join(text[: 4 * MAX_CHARACTERS].split())[:MAX_CHARACTERS]


def is_pack(record: dict[str, Any]) -> bool:
    """Whether a line is one of packed samples (qvl.pack.packed)."""
    ids, lengths, spans = (record.get(name) for name in ("input_ids", "lengths", "loss_weights"))
    return (
        isinstance(ids, list)
        and isinstance(lengths, list)
        and isinstance(spans, list)
        and all(type(each) is int and each >= 0 for each in (*ids[:1], *lengths))
        and all(map(_is_span, spans))
    )


def _is_span(span: Any) -> bool:
    """Whether a value is [start, end, weight]."""
    if not isinstance(span, list) or len(span) != 3 or not is_number(span[2]):
        return False
    return type(span[0]) is int and type(span[1]) is int and 0 <= span[0] <= span[1]


def pack_facts(line: dict[str, Any]) -> dict[str, int]:
    """Tokens, target tokens and records of a packed line."""
    targets = sum(span[1] - span[0] for span in line["loss_weights"])
    return {"tokens": len(line["input_ids"]), "targets": targets, "records": len(line["lengths"])}


def responses_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The responses that are objects."""
    responses = record.get("responses")
    return (
        [each for each in responses if isinstance(each, dict)]
        if isinstance(responses, list)
        else []
    )


def response_facts(responses: list[dict[str, Any]]) -> dict[str, Any]:
    """The number of responses, of those that are right, and their mean reward, if any has one."""
    rewards = [each["reward"] for each in responses if is_number(each.get("reward"))]
    found: dict[str, Any] = {"count": len(responses)}
    if rewards:
        found["right"] = sum(reward >= RIGHT for reward in rewards)
        found["judged"] = len(rewards)
        found["mean"] = round(sum(rewards) / len(rewards), 4)
    return found


def short(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
