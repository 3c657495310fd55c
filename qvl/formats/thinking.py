"""reasoning_content, for formats that know only text."""

import re

from qvl.formats.trade import Trade

THINK = re.compile(r"\A<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def fold(message: dict, text: str, trade: Trade) -> str:
    """An assistant's text with its reasoning in <think>, where --think-tags asks for it."""
    reasoning = message.get("reasoning_content")
    if reasoning is None:
        return text
    if not trade.think_tags:
        trade.lose("reasoning_content (--think-tags writes it as <think>)")
        return text
    return f"<think>\n{reasoning}\n</think>\n\n{text}"


def unfold(message: dict, trade: Trade) -> dict:
    """The message with <think> taken out of its text again, where --think-tags asks for it."""
    content = message.get("content")
    if not trade.think_tags or message["role"] != "assistant" or not isinstance(content, str):
        return message
    found = THINK.match(content)
    if not found:
        return message
    rest = content[found.end() :]
    return {**message, "content": rest, "reasoning_content": found[1]}
