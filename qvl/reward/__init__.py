"""Verifiers: does a response give the record's answer?

A verifier is a module with a line in REWARDS. It exports

    score(record, response) -> float    from 0 to 1: what the response earns. Required

and, where it needs them,

    judge(record, response, *, partial, unsafe_local) -> Verdict
        in place of `score`, to report more than a number. It keeps its own time limits and is safe to
        call from any thread; `score` is neither, and runs under an alarm in the main thread
    extract(response) -> JSON value     the answer that was judged, for verdict["extracted"]; without it
                                        that is qvl.reward.reading.extract.final
    COMPARES_WORDS = True               the final answer is compared as text. A sentence around the
                                        reference then scores 0, although it may be right

A verifier raises Unverifiable, whatever the response, for a record that it cannot judge; it never
scores 0 because it failed. Callers score a response by qvl.reward.verdict.judge and nothing else, so
that every score has a time limit and a crash is an error that is counted.

A user's own verifier is "package.module:function", a function with the signature of `score`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from qvl.errors import UserError

REWARDS = {  # a verifier's name, or the task that it judges -> where; imported when first used
    "exact": "qvl.reward.verifiers.exact:score",
    "number": "qvl.reward.verifiers.number:score",
    "choice": "qvl.reward.verifiers.choice:score",
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
"""The least reward of a right response. Exact verifiers give 0 or 1; of the graded ones, boxes are right
from RefCOCO's IoU of 0.5 on, and for edit distances it is our choice."""

Reward = Callable[[dict, dict], float]


class Verdict(NamedTuple):
    """One response's reward, or why it has none."""

    status: Literal["ok", "timeout", "error"]
    reward: float | None
    """From 0 to 1; None where there is no verdict."""
    extracted: Any = None
    """The final answer that was judged."""
    detail: str = ""
    verifier: str = ""
    """The name under which it was found; filled in by qvl.reward.verdict.judge."""


class Unverifiable(UserError):
    """This record has no answer that its verifier can compare with."""


def find(name: str, flag: str | None = None) -> Reward:
    """The function of a verifier's or a task's name, or of "module:function".

    flag: the option that gave the name, which errors repeat; None: the name is a record's task.
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
    """The record's answer; Unverifiable where there is none."""
    answer = record.get("answer")
    if answer is None or answer in ("", []):
        raise Unverifiable("no answer to compare with")
    return answer
