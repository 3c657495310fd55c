"""Conversations of {"from", "value"}: what LLaMA-Factory's ShareGPT and LLaVA have in common."""

from typing import Any

from qvl.formats import placeholders, thinking
from qvl.formats.trade import Trade


def messages(turns: Any, roles: dict[str, str], media: dict, trade: Trade) -> list[dict]:
    """Messages of plain turns; roles that are not in the table are left to the caller."""
    found = []
    for turn in turns:
        role = roles.get(turn.get("from"), "")
        if not role:
            raise trade.wrong(f"a turn from {turn.get('from')!r}; expected {', '.join(roles)}")
        content = placeholders.to_parts(turn.get("value") or "", media, trade)
        rest = {k: v for k, v in turn.items() if k not in ("from", "value")}
        found.append(thinking.unfold({"role": role, "content": content, **rest}, trade))
    return found


def turn(message: dict, name: str, media: dict[str, list[str]], trade: Trade) -> dict:
    """One message as a turn from `name`."""
    text = placeholders.to_text(message.get("content"), media, trade)
    known = ("role", "content", "reasoning_content", "tool_calls")
    rest = {k: v for k, v in message.items() if k not in known}
    return {"from": name, "value": thinking.fold(message, text, trade), **rest}
