"""Turns {"from", "value"}, which LLaMA-Factory's ShareGPT and LLaVA share."""

from qvl.formats.context import Context
from qvl.formats.parts import placeholders, thinking

KNOWN = ("role", "content", "reasoning_content", "tool_calls")


def message(
    turn: dict, roles: dict[str, str], media: placeholders.RowMedia, context: Context
) -> dict:
    """A turn as a message."""
    role = roles.get(turn["from"])
    if role is None:
        raise context.error(f"a turn from {turn['from']!r}; expected {', '.join(roles)}")
    content = placeholders.to_parts(turn.get("value"), media, context)
    return thinking.extract({"role": role, "content": content, **extras_of(turn)}, context)


def turn(message: dict, name: str, media: dict[str, list[str]], context: Context) -> dict:
    """A message without its tool calls, as a turn from `name`."""
    text = placeholders.to_text(message.get("content"), media, context)
    return {"from": name, "value": thinking.inline(message, text, context), **rest_of(message)}


def extras_of(turn: dict) -> dict:
    """The other fields of a turn, such as a mask."""
    return {k: v for k, v in turn.items() if k not in ("from", "value")}


def rest_of(message: dict) -> dict:
    """The other fields of a message."""
    return {k: v for k, v in message.items() if k not in KNOWN}
