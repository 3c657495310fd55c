"""Tags and special tokens that a text writes about, in code and quotation marks, and does not use.

An answer may explain `<think>` or show a chat template. Code alone is no proof, as a stray backtick before a real
</think> and one after it look like a code span: a pair of tags, or one beside its backtick or quotation mark, is.
"""

import re

TAG = re.compile(r"</?(?:think|tool_call)>")
CODE = re.compile(  # a closed fence, or a code span in a line
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<block>.*?)^[ \t]*(?P=fence)[`~]*[ \t]*$"
    r"|(?<!`)(?P<ticks>`{1,2})(?!`)(?P<span>[^\n]+?)(?<!`)(?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)
QUOTED = re.compile(
    r"""(?<=['"\u201c\u2018「『«„])</?(?:think|tool_call)>(?=['"\u201d\u2019」』»“])"""
)


def without_tags(text: str) -> str:
    """The text with dots in place of the think and tool_call tags that it writes about; its length is the same."""
    if "think>" not in text and "tool_call>" not in text:
        return text
    if "`" in text or "~~~" in text:
        text = CODE.sub(lambda found: _dots(found) if _is_about(found) else found.group(), text)
    return QUOTED.sub(_dots, text)


def _is_about(found: re.Match[str]) -> bool:
    block = found["block"]
    if block is None:
        span = found["span"].strip()
        tags = list(TAG.finditer(span))
        return bool(tags) and (
            tags[0].start() == 0 or tags[-1].end() == len(span) or _is_paired(span)
        )
    return _is_paired(block) or ("</" not in block and TAG.search(block) is not None)


def _is_paired(code: str) -> bool:
    """Whether each tag of a code is opened and closed in it."""
    for name in ("think", "tool_call"):
        if code.count(f"<{name}>") != code.count(f"</{name}>"):
            return False
    return TAG.search(code) is not None


def _dots(found: re.Match[str]) -> str:
    return TAG.sub(lambda tag: "." * len(tag.group()), found.group())


def in_code(text: str, place: int) -> bool:
    """Whether a place of a text is in a code span or in a closed fence."""
    return any(found.start() < place < found.end() for found in CODE.finditer(text))
