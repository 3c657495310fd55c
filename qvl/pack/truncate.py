"""Shorten a sample that is longer than the context."""

from collections.abc import Collection
from dataclasses import replace
from itertools import accumulate
from typing import Any

from qvl.pack.packed import Sample

RULES = ("reject", "end", "turns")


def drop_last_turn(messages: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The conversation without its last question and answer; None if nothing would be left."""
    answers = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
    return messages[: answers[-2] + 1] if len(answers) > 1 else None


def cut_end(sample: Sample, length: int, pads: Collection[int], tokens: list[int]) -> Sample:
    """The first `length` tokens of a sample, or fewer: an image is kept complete or dropped.

    pads: the ids of image and video tokens. tokens: their number for each image or pair of frames.
    """
    for place, (first, last) in enumerate(_spans_of_images(sample.ids, pads, tokens)):
        if last > length:
            length = min(length, first - 1)  # without the <|vision_start|> before it
            sample = replace(sample, images=sample.images[:place], grids=sample.grids[:place])
            break
    spans = [
        (start, min(stop, length), weight) for start, stop, weight in sample.spans if start < length
    ]
    shortened = replace(sample, ids=sample.ids[:length], spans=spans)
    columns = {name: values[: shortened.num_targets] for name, values in sample.columns.items()}
    return replace(shortened, columns=columns)


def _spans_of_images(ids: Any, pads: Collection[int], tokens: list[int]) -> list[tuple[int, int]]:
    places = [place for place, token in enumerate(ids) if token in pads] if tokens else []
    ends = list(accumulate(tokens))
    return [
        (places[last - count], places[last - 1] + 1)
        for last, count in zip(ends, tokens, strict=True)
    ]
