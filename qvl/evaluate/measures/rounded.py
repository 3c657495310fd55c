"""MathVista's free answers: a number rounded to the precision of its question, else as mathematics or words.

The official evaluation rounds both to `precision` decimals and compares them as texts (arXiv 2310.02255).
"""

from fractions import Fraction

from qvl.evaluate.measures import open_answer
from qvl.reward import reference
from qvl.reward.reading.extract import final
from qvl.reward.verifiers.number import last_number

extract = open_answer.extract


def score(record: dict, response: dict) -> float:
    """1 if the final answer is the reference, else 0."""
    gold = _number(reference(record))
    places = _places(record.get("precision"))
    if gold is not None:
        found = last_number(final(response))
        if found is not None and places is not None:
            return float(round(found, places) == round(gold, places))
    return open_answer.score(record, response)


def _number(answer: object) -> Fraction | None:
    try:
        return Fraction(str(answer))
    except (ValueError, ZeroDivisionError):
        return None


def _places(precision: object) -> int | None:
    """The decimals of a copy's precision, which is a number or its text, such as "2.0"."""
    try:
        return int(float(str(precision)))
    except ValueError:
        return None
