"""A list of things, in any order."""

import re
from collections import Counter
from typing import Any

import orjson

from qvl.reward import reference
from qvl.reward.reading.extract import final
from qvl.reward.verifiers.exact import normal


def score(record: dict, response: dict) -> float:
    """1 where the response lists what the reference lists, each as often, in any order."""
    return float(Counter(items(final(response))) == Counter(items(reference(record))))


def items(answer: Any) -> list[str]:
    """A list, a JSON list, or what stands between commas, semicolons or "and"."""
    if isinstance(answer, str):
        try:
            answer = orjson.loads(answer)
        except orjson.JSONDecodeError:
            # Runs of spaces first: a pattern that looks for them takes their square in time.
            answer = re.split(r"[,;] ?(?:and )?| and ", " ".join(answer.split()))
    if not isinstance(answer, list):
        answer = [answer]
    return [word for each in answer if (word := normal(str(each)))]
