"""The final answer is the reference, but for case, spaces, quotes and a full stop."""

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.extract import final

COMPARES_WORDS = True


def score(record: dict, response: dict) -> float:
    """1 where the final answer is the reference, or any of a list of references."""
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(each, str | int | float) for each in wanted):
        raise Unverifiable(f"an answer of words is expected, not {answer!r}"[:200])
    return float(normal(final(response)) in {normal(str(each)) for each in wanted})


def normal(text: str) -> str:
    """Case folded, spaces single, without the quotes and the full stop around."""
    return " ".join(text.casefold().split()).strip("\"'`*").rstrip(".!").strip("\"'`*")
