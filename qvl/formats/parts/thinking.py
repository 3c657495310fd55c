"""reasoning_content as <think> in a text, for formats without such a field.

`extract` takes back only what `inline` writes, so that a record returns byte by byte. Any other thought,
such as one that ends in a lone </think>, stays in the text, where every reader of the record finds it by
the rule of qvl.text.thinking.
"""

import re
from typing import Any

from qvl.formats.context import Context
from qvl.formats.parts import placeholders, validate
from qvl.text.thinking import CLOSE

THINK = re.compile(r"\A<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def inline(message: dict, text: str, context: Context) -> str:
    """The text of an assistant, after its reasoning in <think> with --think-tags."""
    if message.get("reasoning_content") is None:
        return text
    reasoning = validate.text(message["reasoning_content"], "reasoning_content", context)
    if not context.think_tags:
        context.unsupported("reasoning_content (--think-tags writes it as <think>)")
        return text
    reasoning = placeholders.escape(reasoning, context)
    if CLOSE in reasoning:
        context.unsupported(f"{CLOSE} in reasoning_content")
        reasoning = reasoning.replace(CLOSE, "</think >")
    return f"<think>\n{reasoning}\n</think>\n\n{text}"


def extract(message: dict, context: Context) -> dict:
    """The message with the <think> of its text as reasoning_content, with --think-tags."""
    if not context.think_tags or message["role"] != "assistant" or "reasoning_content" in message:
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
