"""What of a model's text is thinking: the one rule, for sampling, rewards, filters, judges and formats.

The first </think> ends the thought, as vLLM's and SGLang's parsers have it. The chat template may have
written <think> itself, so a text may hold the end alone. A text that begins with <think> and has no end
was truncated inside the thought. A message with reasoning_content was split already.
"""

OPEN, CLOSE = "<think>", "</think>"


def split(text: str, *, cut: bool = False) -> tuple[str, str]:
    """(thought, answer), without the tags and the line feeds around them.

    cut: the text is known to be truncated inside a thought if no </think> is in it.
    """
    found = closed(text)
    if found is not None:
        thought, answer = found
        return thought.strip("\n"), answer.lstrip("\n")
    if cut or text.lstrip().startswith(OPEN):
        return text.lstrip().removeprefix(OPEN).strip("\n"), ""
    return "", text


def closed(text: str) -> tuple[str, str] | None:
    """(thought, answer) as they stand before and after the first </think>; None where there is none."""
    thought, end, answer = text.partition(CLOSE)
    if not end:
        return None
    begun = thought.lstrip()
    return (begun.removeprefix(OPEN) if begun.startswith(OPEN) else thought), answer


def answer_text(response: dict) -> str:
    """The content of a response after its thinking; "" where it was truncated while thinking."""
    text = response.get("content") or ""
    if response.get("reasoning_content"):
        return text
    return split(text)[1]
