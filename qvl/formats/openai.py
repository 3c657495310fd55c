"""OpenAI's chat messages: parts with image_url, tool calls; video_url as vLLM and SGLang add it.

Holds everything that a record does. reasoning_content is the field that vLLM and SGLang use.
"""

from qvl.formats.trade import Trade, with_id

CONTAINER = "jsonl"
KINDS = ("image", "video")


def to_record(row: dict, trade: Trade) -> dict:
    if not isinstance(row.get("messages"), list):
        raise trade.wrong("no messages")
    return with_id({**row, "messages": [_from(m, trade) for m in row["messages"]]}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    return {**record, "messages": [_to(message) for message in record["messages"]]}


def _from(message: dict, trade: Trade) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, trade) for part in content]}


def _part(part: dict, trade: Trade) -> dict:
    for kind in KINDS:
        url = part.get(f"{kind}_url")
        if url is not None:
            extras = {} if isinstance(url, str) else {k: v for k, v in url.items() if k != "url"}
            return {"type": kind, kind: url if isinstance(url, str) else url["url"], **extras}
    if part.get("type") != "text":
        raise trade.wrong(f"a part of type {part.get('type')!r}")
    return part


def _to(message: dict) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_url(part) for part in content]}


def _url(part: dict) -> dict:
    kind = part["type"]
    if kind == "text":
        return part
    extras = {k: v for k, v in part.items() if k not in ("type", kind)}
    return {"type": f"{kind}_url", f"{kind}_url": {"url": part[kind], **extras}}
