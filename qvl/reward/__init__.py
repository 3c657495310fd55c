"""Verifiers: whether a response gives the reference answer of its record.

A verifier is a module with a line in REWARDS. It exports

    score(record, response) -> float    the reward of the response, from 0 to 1. Required

and optionally

    judge(record, response, *, partial, unsafe_local) -> Verdict
        called in place of `score`, to report more than a number. It enforces its own time limits and is
        threadsafe; `score` does and is neither, and runs under an alarm in the main thread
    extract(response) -> JSON value     the answer that was judged, for verdict["extracted"]; the default
                                        is qvl.reward.reading.extract.final
    COMPARES_WORDS = True               the final answer is compared as text. A sentence that contains the
                                        reference then scores 0, although it may be right

A verifier raises Unverifiable for a record that it cannot judge, whatever the response. It never scores 0
because it failed. Callers score a response only by qvl.reward.verdict.judge, so that every verdict has a
time limit and every crash is counted as an error.

A user's own verifier is "package.module:function", a function with the signature of `score`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from qvl.errors import UserError

REWARDS = {  # name of a verifier or a task -> module:function; imported when first used
    "exact": "qvl.reward.verifiers.exact:score",
    "number": "qvl.reward.verifiers.number:score",
    "choice": "qvl.reward.verifiers.choice:score",
    "yes-no": "qvl.reward.verifiers.yes_no:score",
    "boxes": "qvl.reward.verifiers.grounding:score",
    "list": "qvl.reward.verifiers.items:score",
    "math": "qvl.reward.verifiers.mathematics:score",
    "caption": "qvl.reward.verifiers.items:score",
    "counting": "qvl.reward.verifiers.counting:score",
    "grounding": "qvl.reward.verifiers.grounding:score",
    "pointing": "qvl.reward.verifiers.grounding:score",
    "logic": "qvl.reward.puzzles.puzzle:score",
    "puzzle": "qvl.reward.puzzles.puzzle:score",
    "ocr": "qvl.reward.verifiers.ocr:score",
    "vqa": "qvl.reward.verifiers.exact:score",
    "clock": "qvl.reward.verifiers.clock:score",
    "chart": "qvl.reward.verifiers.chart:score",
    "video": "qvl.reward.verifiers.video:score",
    "schema": "qvl.reward.verifiers.schema:score",
    "structured": "qvl.reward.verifiers.schema:score",
    "document": "qvl.reward.verifiers.document:score",
    "code": "qvl.reward.verifiers.code:score",
    "instruction": "qvl.reward.verifiers.instruction.strict:score",
    "instruction-loose": "qvl.reward.verifiers.instruction.loose:score",
}

RIGHT = 0.5
"""The minimum reward of a right response. Exact verifiers give 0 or 1. Of the graded ones, boxes are right
from an IoU of 0.5, as in RefCOCO; for edit distances it is our choice."""

Reward = Callable[[dict, dict], float]


class Verdict(NamedTuple):
    """The reward of one response, or the reason why it has none."""

    status: Literal["ok", "timeout", "error"]
    reward: float | None
    """From 0 to 1; None without a verdict."""
    extracted: Any = None
    """The final answer that was judged."""
    detail: str = ""
    verifier: str = ""
    """The name of the verifier; set by qvl.reward.verdict.judge."""


class Unverifiable(UserError):
    """The record has no reference answer that its verifier can use."""


def find(name: str, flag: str | None = None) -> Reward:
    """The `score` function of a verifier or a task by name, or of "module:function".

    flag: the option that gave the name, for errors; None if the name is the task of a record.
    """
    where = REWARDS.get(name, name)
    module, colon, function = where.partition(":")
    known = f"known: {', '.join(REWARDS)}"
    if not colon and flag:
        raise UserError(f"{flag} {name}: no such verifier; {known}; or give MODULE:FUNCTION")
    if not colon:
        raise Unverifiable(f"no verifier for task {name!r}; {known}")
    try:
        found: Any = getattr(import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"{flag or 'task'} {name}: {error}") from None
    return found


def reference(record: dict) -> Any:
    """The reference answer of a record; Unverifiable if there is none."""
    answer = record.get("answer")
    if answer is None or answer in ("", []):
        raise Unverifiable("the record has no reference answer")
    return answer
