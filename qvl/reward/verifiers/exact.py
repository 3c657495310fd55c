"""Exact match: the final answer equals the reference, except for case, spaces, quotes and a full stop."""

from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.extract import final

COMPARES_WORDS = True


def score(record: dict, response: dict) -> float:
    """1 if the final answer equals the reference, or any of a list of references; else 0."""
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(each, str | int | float) for each in wanted):
        raise Unverifiable(
            f"answer: expected a text, a number or a list of them, got {answer!r}"[:200]
        )
    return float(normal(final(response)) in {_reference(str(each)) for each in wanted})


def normal(text: str, stops: str = ".!。！") -> str:
    """A text with case folded and single spaces, without enclosing quotes and marks, and a final full stop.

    stops: what counts as a full stop.
    """
    return " ".join(text.casefold().split()).strip(_AROUND).rstrip(stops).strip(_AROUND)


_AROUND = "\"'`*_“”‘’「」『』"
_reference = lru_cache(1 << 12)(normal)
