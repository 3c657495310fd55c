"""Puzzles of reasoning-gym, scored by its own functions.

{"dataset": NAME, "entry": {"question": ..., "answer": ..., "metadata": {...}}}, as its data sets return
them. The answer is the last <answer>, \\boxed{} or code fence, else the text after the thinking.

Some of its functions evaluate the answer as Python, or with sympy, which does the same. For these data sets
the answer must have a form that cannot call anything (FORMS), else it scores 0. An answer also scores 0 if the
function fails on it but not on the entry's own answer. All functions run in a process that is killed after
SECONDS. An entry whose own answer does not score 1 is unverifiable; before that, the lists in its metadata are
tried as tuples, which JSON does not have.
"""

import json
import re
from functools import cache, lru_cache
from typing import Any

from qvl.errors import need
from qvl.processes import Worker
from qvl.reward import Unverifiable
from qvl.reward.reading.answer_block import answer_block

SECONDS = 10.0  # per score: our choice
MEMORY_BYTES = 4 << 30  # of address space: our choice
_MOST = 20_000  # characters of an answer; a longer one scores 0: our choice
_ARITHMETIC = re.compile(r"[\d\s+\-*/().=]+")
_ALGEBRA = re.compile(
    r"(?:[\d\s+\-*/^().=]|(?<![A-Za-z_])(?:[A-Za-z]|sin|cos|tan|exp|log|sqrt)(?![A-Za-z_]))+"
)
_LISTS = re.compile(r"[^()]*")  # nothing can be called without round brackets
FORMS = {  # data set -> the form of an answer that is evaluated
    "binary_matrix": _LISTS,
    "countdown": _ARITHMETIC,
    "game_of_life_halting": re.compile(
        r"true|false", re.IGNORECASE
    ),  # the function takes anything but true for false
    "intermediate_integration": _ALGEBRA,
    "n_queens": _LISTS,
    "polynomial_multiplication": _ALGEBRA,
    "puzzle24": _ARITHMETIC,
    "simple_integration": _ALGEBRA,
    "spiral_matrix": _LISTS,
    "string_insertion": _LISTS,
}
REFUSED = {
    "bitwise_arithmetic",
    "number_sorting",
}  # data sets whose functions evaluate texts of the record


def share(answer: dict, response: dict) -> float:
    """The score of reasoning-gym, from 0 to 1.

    Unverifiable for an unknown data set, and for one that would run code of the record; TimeoutError
    after SECONDS.
    """
    name, entry = answer.get("dataset"), answer.get("entry")
    if not isinstance(name, str) or name not in _names():
        raise Unverifiable(f"answer: dataset: unknown to reasoning-gym: {name!r}")
    if name in REFUSED:
        raise Unverifiable(
            f"answer: dataset: {name} is refused, as reasoning-gym would run code of the record"
        )
    if not isinstance(entry, dict) or "answer" not in entry:
        raise Unverifiable(
            "answer: entry: expected an object with an answer, as reasoning-gym writes it"
        )
    text = answer_block(response).strip()
    form = FORMS.get(name)
    if not text or len(text) > _MOST or (form and not form.fullmatch(text)):
        return 0.0
    return _process(SECONDS, name, text, entry)


@cache
def _names() -> frozenset[str]:
    gym: Any = need("reasoning_gym.factory", extra="reward")
    return frozenset(gym.DATASETS)


def prepare() -> None:
    """Import reasoning-gym in the scoring process, so that this does not count towards the limit of a score."""
    need("reasoning_gym", extra="reward")


def scored(name: str, text: str, entry: dict[str, Any]) -> float:
    """The score of an answer, clipped to 0 to 1; runs in a process of its own."""
    score, entry = _scorer(name), _sound(name, json.dumps(entry))
    try:
        value = score(text, entry)
    except Exception:  # noqa: BLE001 - reasoning-gym fails on an answer that it cannot parse
        score(entry["answer"], entry)  # raises if the entry is the cause
        return 0.0
    return min(1.0, max(0.0, float(value)))


@lru_cache(maxsize=64)
def _sound(name: str, entry: str) -> dict[str, Any]:
    """The entry in the form in which its own answer scores 1. Unverifiable if there is none."""
    plain = json.loads(entry)
    if not isinstance(plain["answer"], str):
        return plain  # it has many right answers, and names none
    for form in (plain, {**plain, "metadata": _tuples(plain.get("metadata"))}):
        if _scorer(name)(form["answer"], form) == 1:
            return form
    raise Unverifiable(f"answer: entry: its own answer does not score 1 in reasoning-gym's {name}")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@cache
def _scorer(name: str) -> Any:
    gym: Any = need("reasoning_gym", extra="reward")
    return gym.get_score_answer_fn(name)


_process = Worker(scored, prepare=prepare, memory=MEMORY_BYTES)
