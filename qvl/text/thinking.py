"""Split a model's text into thinking and answer: one rule for sampling, rewards, filters, judges and formats.

The first </think> ends the thinking, as in the parsers of vLLM and SGLang, unless the text only writes about it,
as in `</think>` (qvl.text.written_about). The chat template may have written <think> itself, so a text may have
only </think>. A text that begins with <think> and has no </think> was truncated while thinking. A message with
reasoning_content is split already.
"""

from qvl.text.written_about import without_tags

OPEN, CLOSE = "<think>", "</think>"


def split(text: str, *, truncated: bool = False) -> tuple[str, str]:
    """(thought, answer), without the tags and the line feeds around them.

    truncated: a text without </think> is known to be truncated while thinking.
    """
    found = closed(text)
    if found is not None:
        thought, answer = found
        return thought.strip("\n"), answer.lstrip("\n")
    if truncated or text.lstrip().startswith(OPEN):
        return text.lstrip().removeprefix(OPEN).strip("\n"), ""
    return "", text


def closed(text: str) -> tuple[str, str] | None:
    """(thought, answer), unstripped, before and after the first </think>; None without one."""
    place = without_tags(text).find(CLOSE) if CLOSE in text else -1
    if place < 0:
        return None
    thought, answer = text[:place], text[place + len(CLOSE) :]
    begun = thought.lstrip()
    return (begun.removeprefix(OPEN) if begun.startswith(OPEN) else thought), answer


def in_text(message: dict) -> dict:
    """The message with its reasoning_content between tags before its text, if it has one."""
    if not message.get("reasoning_content"):
        return message
    moved = {name: value for name, value in message.items() if name != "reasoning_content"}
    thought = f"{OPEN}\n{message['reasoning_content']}\n{CLOSE}\n\n"
    content = message.get("content") or ""
    if isinstance(content, str):
        return {**moved, "content": thought + content}
    return {**moved, "content": [{"type": "text", "text": thought}, *content]}


def answer_text(response: dict) -> str:
    """The content of a response after its thinking; "" if it was truncated while thinking."""
    text = response.get("content") or ""
    if response.get("reasoning_content"):
        return text
    return split(text)[1]
