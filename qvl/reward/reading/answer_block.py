"""The part of a response that is its answer, for answers that may have several lines."""

from qvl.reward.reading.extract import last_boxed
from qvl.text.thinking import answer_text


def answer_block(response: dict) -> str:
    """The content of the last \\boxed{}, else of the last <answer>, else of the last closed code fence;
    if there is none of these, all the text after the thinking."""
    text = answer_text(response)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    end = text.rfind("</answer>")
    begin = text.rfind("<answer>", 0, max(end, 0))
    if begin >= 0:
        text = text[begin + len("<answer>") : end]
    return fenced(text).strip()


def fenced(text: str) -> str:
    """The content of the last closed code fence, without its language; the whole text without a fence."""
    pieces = text.split("```")
    if len(pieces) < 3:
        return text
    block = pieces[(len(pieces) - 1) // 2 * 2 - 1]
    language, newline, rest = block.partition("\n")
    return rest if newline and (not language.strip() or language.strip().isalnum()) else block
