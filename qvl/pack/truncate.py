"""What becomes of a sample that is longer than a pack."""

from collections.abc import Collection
from dataclasses import replace
from itertools import accumulate
from typing import Any

from qvl.pack.packed import Sample

RULES = ("reject", "end", "turns")


def whole_turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The conversation without its last question and answer; None where nothing would be left."""
    answers = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
    return messages[: answers[-2] + 1] if len(answers) > 1 else None


def end(sample: Sample, room: int, pads: Collection[int], tokens: list[int]) -> Sample:
    """The sample's first `room` tokens, or fewer: an image that would be cut goes as a whole, and so
    does all behind it. pads: the ids that stand for images and frames. tokens: those of each."""
    for place, (first, last) in enumerate(_spans_of_images(sample.ids, pads, tokens)):
        if last > room:
            room = min(room, first - 1)  # and the mark before the image
            sample = replace(sample, images=sample.images[:place], grids=sample.grids[:place])
            break
    spans = [
        (start, min(stop, room), weight) for start, stop, weight in sample.spans if start < room
    ]
    cut = replace(sample, ids=sample.ids[:room], spans=spans)
    columns = {name: values[: cut.num_targets] for name, values in sample.columns.items()}
    return replace(cut, columns=columns)


def _spans_of_images(ids: Any, pads: Collection[int], tokens: list[int]) -> list[tuple[int, int]]:
    places = [place for place, token in enumerate(ids) if token in pads] if tokens else []
    ends = list(accumulate(tokens))
    return [
        (places[last - count], places[last - 1] + 1)
        for last, count in zip(ends, tokens, strict=True)
    ]
