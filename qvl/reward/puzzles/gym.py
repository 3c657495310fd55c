"""Puzzles of reasoning-gym, scored by its own functions.

{"dataset": NAME, "entry": {"question": ..., "answer": ..., "metadata": {...}}}, as its data sets give
them. The answer is the last <answer>, \\boxed{} or fenced block, else what comes after the thinking.

Some of its functions evaluate the answer as Python, or by sympy, which does the same. Theirs must be
of a form that can call nothing (FORMS); any other is worth 0, and so is one at which a function fails
that takes the entry's own. All run in a process that is ended when one takes too long. An entry whose
own answer does not score 1 cannot judge; where that is because JSON knows no tuples, it has them back.
"""

import json
import re
from functools import cache, lru_cache
from typing import Any

from qvl.errors import need
from qvl.processes import Worker
from qvl.reward import Unverifiable
from qvl.reward.reading.answer_block import answer_block

SECONDS = 10.0  # for a score: our choice
MEMORY_BYTES = 4 << 30  # of address space: our choice
_MOST = 20_000  # characters of an answer: our choice
_ARITHMETIC = re.compile(r"[\d\s+\-*/().=]+")
_ALGEBRA = re.compile(
    r"(?:[\d\s+\-*/^().=]|(?<![A-Za-z_])(?:[A-Za-z]|sin|cos|tan|exp|log|sqrt)(?![A-Za-z_]))+"
)
_LISTS = re.compile(r"[^()]*")  # without a bracket nothing is called
FORMS = {  # data set -> the form of an answer that is evaluated
    "binary_matrix": _LISTS,
    "countdown": _ARITHMETIC,
    "game_of_life_halting": re.compile(r"true|false", re.IGNORECASE),  # else all but true is false
    "intermediate_integration": _ALGEBRA,
    "n_queens": _LISTS,
    "polynomial_multiplication": _ALGEBRA,
    "puzzle24": _ARITHMETIC,
    "simple_integration": _ALGEBRA,
    "spiral_matrix": _LISTS,
    "string_insertion": _LISTS,
}
REFUSED = {"bitwise_arithmetic", "number_sorting"}  # what evaluates the record's own texts


def share(answer: dict, response: dict) -> float:
    """What reasoning-gym gives, from 0 to 1. Unverifiable for a data set that it has not, or that
    would run what the record says; TimeoutError after SECONDS."""
    name, entry = answer.get("dataset"), answer.get("entry")
    if not isinstance(name, str) or name not in _names():
        raise Unverifiable(f"answer: reasoning-gym has no data set {name!r}")
    if name in REFUSED:
        raise Unverifiable(f"answer: reasoning-gym would run what a record of {name} says")
    if not isinstance(entry, dict) or "answer" not in entry:
        raise Unverifiable("answer: entry is none of reasoning-gym's")
    said = answer_block(response).strip()
    form = FORMS.get(name)
    if not said or len(said) > _MOST or (form and not form.fullmatch(said)):
        return 0.0
    return _process(SECONDS, name, said, entry)


@cache
def _names() -> frozenset[str]:
    gym: Any = need("reasoning_gym.factory", extra="reward")
    return frozenset(gym.DATASETS)


def prepare() -> None:
    """For the process that scores: what it imports first does not count towards a score's limit."""
    need("reasoning_gym", extra="reward")


def scored(name: str, said: str, entry: dict[str, Any]) -> float:
    """In a process of its own: reasoning-gym's score, within 0 and 1."""
    score, entry = _scorer(name), _sound(name, json.dumps(entry))
    try:
        value = score(said, entry)
    except Exception:  # noqa: BLE001 - reasoning-gym's, on an answer that it cannot read
        score(entry["answer"], entry)  # else it is the entry, and raises
        return 0.0
    return min(1.0, max(0.0, float(value)))


@lru_cache(maxsize=64)
def _sound(name: str, entry: str) -> dict[str, Any]:
    """The entry as its function takes it. Unverifiable where that does not give its own answer 1."""
    plain = json.loads(entry)
    if not isinstance(plain["answer"], str):
        return plain  # there are many answers, and it names none
    for form in (plain, {**plain, "metadata": _tuples(plain.get("metadata"))}):
        if _scorer(name)(form["answer"], form) == 1:
            return form
    raise Unverifiable(f"answer: reasoning-gym does not give {name}'s own answer 1")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@cache
def _scorer(name: str) -> Any:
    gym: Any = need("reasoning_gym", extra="reward")
    return gym.get_score_answer_fn(name)


_process = Worker(scored, prepare=prepare, memory=MEMORY_BYTES)
