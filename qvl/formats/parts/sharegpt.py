"""Conversations of {"from", "value"}: what LLaMA-Factory's ShareGPT and LLaVA have in common."""

from qvl.formats.context import Trade
from qvl.formats.parts import placeholders, thinking

KNOWN = ("role", "content", "reasoning_content", "tool_calls")


def message(turn: dict, roles: dict[str, str], media: placeholders.Media, trade: Trade) -> dict:
    """The message of a turn with a text."""
    role = roles.get(turn["from"])
    if role is None:
        raise trade.wrong(f"a turn from {turn['from']!r}; expected {', '.join(roles)}")
    content = placeholders.to_parts(turn.get("value"), media, trade)
    return thinking.unfold({"role": role, "content": content, **extras_of(turn)}, trade)


def turn(message: dict, name: str, media: dict[str, list[str]], trade: Trade) -> dict:
    """A message, its tool calls aside, as a turn from `name`."""
    text = placeholders.to_text(message.get("content"), media, trade)
    return {"from": name, "value": thinking.fold(message, text, trade), **rest_of(message)}


def extras_of(turn: dict) -> dict:
    """What a turn holds besides, such as a mask."""
    return {k: v for k, v in turn.items() if k not in ("from", "value")}


def rest_of(message: dict) -> dict:
    """What a message holds besides."""
    return {k: v for k, v in message.items() if k not in KNOWN}
