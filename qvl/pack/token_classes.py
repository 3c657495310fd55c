"""The class of a token: where two computations of log-probs differ, it says in which kind of text."""

from collections.abc import Sequence
from typing import Any

CLASSES = ("text", "after-image", "special", "tool")


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The added tokens of a `tokenizers.Tokenizer`, such as <|im_end|>, by id."""
    return {number: token.content for number, token in tokenizer.get_added_tokens_decoder().items()}


def classes(ids: Sequence[int], special: dict[int, str]) -> list[str]:
    """The class of each token but the first, one of CLASSES. special: the added tokens, by id."""
    out, image, tool = [], False, False
    for token in ids:
        name = special.get(token, "")
        if name in ("<tool_call>", "<tool_response>"):
            tool = True
        elif name in ("</tool_call>", "</tool_response>"):
            tool = False
        image = image or name in ("<|image_pad|>", "<|video_pad|>")
        out.append("special" if name else "tool" if tool else "after-image" if image else "text")
    return out[1:]
