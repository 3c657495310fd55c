"""Penalties: what is taken from a reward, whatever the answer is worth.

A penalty is a function (record, response) -> Penalty. It needs no reference answer.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from qvl.errors import UserError

PENALTIES = {  # name -> where; imported when asked for
    "language": "qvl.reward.penalties.language:penalty",
    "repetition": "qvl.reward.penalties.repetition:penalty",
    "format": "qvl.reward.penalties.malformed:penalty",
}


class Penalty(NamedTuple):
    value: float
    """From -1 to 0."""
    detail: str = ""
    """What was seen, where it is below 0."""


NONE = Penalty(0.0)


@cache
def find(name: str) -> Callable[[dict, dict], Penalty]:
    """The penalty of a name. UserError for another one."""
    if name not in PENALTIES:
        raise UserError(f"no penalty {name!r}; known: {', '.join(PENALTIES)}")
    module, _, function = PENALTIES[name].partition(":")
    found: Any = getattr(import_module(module), function)
    return found
