"""The final answer in a response's text."""

import re

from qvl.text.thinking import answer_text

_LEAD = re.compile(r"^(?:the\s+)?(?:final\s+)?answer(?:\s+is\b|\s*:)\s*:?\s*", re.IGNORECASE)
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


# The answer that was asked for last: it is asked for twice, to be judged and to be shown.
_latest: tuple[str | None, str] = None, ""


def final(response: dict) -> str:
    """The last \\boxed{}, else the last <answer>, else the last line; "" where there is none.

    Thinking is left out; an answer that was cut while thinking has no final answer.
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
    return _LEAD.sub("", lines[-1].strip().strip("*").strip()) if lines else ""


def last_boxed(text: str) -> str | None:
    """What the last \\boxed{...} holds, its braces balanced; None where there is none."""
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
