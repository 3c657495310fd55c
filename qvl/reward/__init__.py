"""Verifiers: does a response give the record's answer?

A reward is a function (record, response) -> float from 0 to 1. It raises Unverifiable, whatever the
response, for a record that it cannot judge; it never scores 0 because it failed.
A user's own is named "package.module:function" and has the same signature.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

from qvl.errors import UserError

REWARDS = {  # a verifier's name, or the task that it judges -> where; imported when asked for
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
    "instruction": "qvl.reward.verifiers.instruction:score",
    "instruction-loose": "qvl.reward.verifiers.instruction_loose:score",
}

Reward = Callable[[dict, dict], float]


class Unverifiable(UserError):
    """This record has no answer that its verifier can compare with."""


def find(name: str) -> Reward:
    """The reward of a verifier's or a task's name, or of "module:function"."""
    where = REWARDS.get(name, name)
    module, colon, function = where.partition(":")
    if not colon:
        raise Unverifiable(f"no verifier for task {name!r}; known: {', '.join(REWARDS)}")
    try:
        found: Any = getattr(import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"--reward {name}: {error}") from None
    return found


def verify(record: dict, response: dict, name: str | None = None) -> float:
    """The reward of a response, by the verifier `name`, else by the record's task."""
    task = name or record.get("task")
    if not task:
        raise Unverifiable("no task, which names the verifier")
    reward = find(task)
    try:
        value = reward(record, response)
    except UserError:
        raise
    except Exception as error:
        error.add_note(f"while {task!r} judged record {record.get('id')!r}")
        raise
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise UserError(f"reward {task!r} gave {value!r}; it must give a number from 0 to 1")
    return float(value)


def unverifiable(record: dict, name: str | None = None) -> str | None:
    """Why no response to this record could be judged, found before one is paid for."""
    try:
        verify(record, {"content": ""}, name)
    except Unverifiable as error:
        return str(error)
    return None


def reference(record: dict) -> Any:
    """The record's answer; Unverifiable where there is none."""
    answer = record.get("answer")
    if answer is None or answer in ("", []):
        raise Unverifiable("no answer to compare with")
    return answer
