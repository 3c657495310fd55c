"""Penalties: negative parts of a reward, independent of the correctness of the answer.

A penalty is a function (record, response) -> Penalty. It needs no reference answer.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from qvl.errors import UserError

PENALTIES = {  # name -> module:function; imported when first used
    "language": "qvl.reward.penalties.language:penalty",
    "repetition": "qvl.reward.penalties.repetition:penalty",
    "format": "qvl.reward.penalties.malformed:penalty",
}


class Penalty(NamedTuple):
    value: float
    """From -1 to 0."""
    detail: str = ""
    """The reason for a value below 0."""


NONE = Penalty(0.0)


@cache
def find(name: str) -> Callable[[dict, dict], Penalty]:
    """The penalty function of this name; UserError if it is unknown."""
    if name not in PENALTIES:
        raise UserError(f"unknown penalty {name!r}; known: {', '.join(PENALTIES)}")
    module, _, function = PENALTIES[name].partition(":")
    found: Any = getattr(import_module(module), function)
    return found


def penalised_share(names: Sequence[str], record: dict, responses: Sequence[dict]) -> float:
    """The share of a record's responses, one at least, that get one of these penalties."""
    penalties = [find(name) for name in names]
    bad = sum(any(each(record, one).value < 0 for each in penalties) for one in responses)
    return bad / len(responses)
