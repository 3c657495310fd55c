"""The final answer in a response's text."""

import re

from qvl.reward.reading.emphasis import unwrapped
from qvl.text.thinking import answer_text

_LEAD = re.compile(r"^(?:the\s+)?(?:final\s+)?answer(?:\s+is\b|\s*:)\s*:?\s*", re.IGNORECASE)
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


# The last content and its answer: callers request each twice, to judge it and to show it.
_latest: tuple[str | None, str] = None, ""


def final(response: dict) -> str:
    """The content of the last \\boxed{}, else of the last <answer>, else the last line; "" without text.

    The thinking is left out; a response that was truncated while thinking has no final answer.
    """
    global _latest
    content = response.get("content")
    known, answer = _latest
    if known is not content or content is None:  # the very same string, so no comparison
        answer = _final(response)
        _latest = content, answer
    return answer


def _final(response: dict) -> str:
    text = answer_text(response)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    tagged = _TAG.findall(text) if "<answer>" in text else None
    if tagged:
        return tagged[-1].strip()
    text = text.rstrip()
    lines = text[text.rfind("\n") + 1 :].splitlines()  # the last alone: this runs for each response
    return _LEAD.sub("", unwrapped(lines[-1])) if lines else ""


def last_boxed(text: str) -> str | None:
    """The content of the last \\boxed{...}, up to its own closing brace; None if there is none."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth = 1
    for i in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[begin:i]
    return None
