"""Shares, as --ratio writes them, and those that the papers state."""

from typing import TYPE_CHECKING

from qvl.errors import UserError

if TYPE_CHECKING:
    from fractions import Fraction

RATIOS = {  # Qwen3-VL report
    "sft": "text=1,multimodal=2",  # 4.2.1: one third text, two thirds image-text and video-text
    "cold-start": "text=1,multimodal=1",  # 4.2.2: about 1:1
}

MAX_BUCKETS = 1000


def parse(text: str) -> "dict[str, Fraction]":
    """ "text=1,multimodal=2" -> the weight of each; of "1,2" the names are "1" and "2" by place."""
    from fractions import Fraction  # 10 ms of start-up

    weights: dict[str, Fraction] = {}
    named = "=" in text
    for place, item in enumerate(text.split(","), 1):
        name, equals, share = item.rpartition("=") if named else (str(place), "=", item)
        try:
            weight = Fraction(share.strip())
        except (ValueError, ZeroDivisionError):
            weight = Fraction(0)
        if not equals or not name.strip() or weight <= 0:
            raise UserError(
                f"--ratio {text}: expected NAME=NUMBER with a number over 0, not {item!r}"
            )
        if name.strip() in weights:
            raise UserError(f"--ratio {text}: {name.strip()!r} is given twice")
        weights[name.strip()] = weight
    if len(weights) > MAX_BUCKETS:
        raise UserError(f"--ratio: {len(weights)} shares; at most {MAX_BUCKETS} are possible")
    return weights
