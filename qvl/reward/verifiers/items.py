"""Items: the final answer lists the items of the reference, in any order."""

import re
from collections import Counter
from typing import Any

import orjson

from qvl.reward import reference
from qvl.reward.reading.extract import final
from qvl.reward.verifiers.exact import normal


def score(record: dict, response: dict) -> float:
    """1 if the final answer lists the reference's items, each as often, in any order; else 0."""
    return float(Counter(items(final(response))) == Counter(items(reference(record))))


def items(answer: Any) -> list[str]:
    """The normalized items of a list, a JSON list, or a text with commas, semicolons or "and" between them."""
    if isinstance(answer, str):
        try:
            answer = orjson.loads(answer)
        except orjson.JSONDecodeError:
            # Join runs of spaces first: a pattern that matches them takes quadratic time.
            answer = re.split(r"[,;] ?(?:and )?| and ", " ".join(answer.split()))
    if not isinstance(answer, list):
        answer = [answer]
    return [word for each in answer if (word := normal(str(each)))]
