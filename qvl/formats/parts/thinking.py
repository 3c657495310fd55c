"""reasoning_content, for formats that know only text."""

import re
from typing import Any

from qvl.formats.context import Trade
from qvl.formats.parts import placeholders, validate

THINK = re.compile(r"\A<think>\n(.*?)\n</think>\n\n", re.DOTALL)
END = "</think>"


def fold(message: dict, text: str, trade: Trade) -> str:
    """An assistant's text with its reasoning in <think>, where --think-tags asks for it."""
    if message.get("reasoning_content") is None:
        return text
    reasoning = validate.text(message["reasoning_content"], "reasoning_content", trade)
    if not trade.think_tags:
        trade.lose("reasoning_content (--think-tags writes it as <think>)")
        return text
    reasoning = placeholders.plain(reasoning, trade)
    if END in reasoning:
        trade.lose(f"{END} in reasoning_content")
        reasoning = reasoning.replace(END, "</think >")
    return f"<think>\n{reasoning}\n</think>\n\n{text}"


def unfold(message: dict, trade: Trade) -> dict:
    """The message with <think> taken out of its text again, where --think-tags asks for it."""
    if not trade.think_tags or message["role"] != "assistant" or "reasoning_content" in message:
        return message
    content = message.get("content")
    if isinstance(content, str):
        found = THINK.match(content)
        rest: Any = content[found.end() :] if found else None
    else:
        first = content[0].get("text", "") if content else ""
        found = THINK.match(first)
        left = [{"type": "text", "text": first[found.end() :]}] if found else []
        rest = [part for part in left if part["text"]] + (content or [])[1:]
    if not found:
        return message
    return {**message, "content": rest, "reasoning_content": found[1]}
