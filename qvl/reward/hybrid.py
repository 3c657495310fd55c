"""Hybrid rewards: the parts of a record's reward and their weights, as a table per RL stage.

The reward of a response is the weighted sum of its parts:

    verifier  reward by the verifier of the record's task, 0 to 1
    judge     mean of the axes of a judge that sees the reference answer, 0 to 1
    score     sigmoid of the score of a scalar reward model, 0 to 1
    language, repetition, format    penalties, -1 to 0 (qvl.reward.penalties)

The kinds of records are those of the reports: verifiable (rules), open (a judge with the reference
answer) and without reference (a reward model or a judge); see Qwen3-VL 4.4.2 and Qwen3 4.4. The weights
are our choice. A penalty weighs 0.5, so that a right answer in the wrong language is worth more than a
wrong answer in the right language, and less than a right answer in the right language.
"""

from collections.abc import Mapping, Sequence

from qvl.errors import UserError
from qvl.reward import REWARDS
from qvl.reward.penalties import PENALTIES, find

VERIFIER, JUDGE, SCORE = "verifier", "judge", "score"
Parts = Mapping[str, float]

_SUPPRESSED = {"language": 0.5, "repetition": 0.5, "format": 0.5}
STAGES: dict[str, dict[str, Parts]] = {
    "reasoning": {  # report 4.4.1: everything is verified, and language mixing is penalized
        "verifiable": {VERIFIER: 1.0, "language": 0.5},
        "open": {VERIFIER: 1.0, "language": 0.5},
        "without reference": {VERIFIER: 1.0, "language": 0.5},
    },
    "general": {  # report 4.4.2: rules and models, and unwanted behavior is penalized
        "verifiable": {VERIFIER: 1.0, **_SUPPRESSED},
        "open": {JUDGE: 1.0, **_SUPPRESSED},
        "without reference": {SCORE: 1.0, **_SUPPRESSED},
    },
}
OPEN_TASKS = ("vqa", "caption")  # have a verifier, but right answers may be worded in many ways


def kind(record: dict) -> str:
    """The kind of a record: its row in the table of a stage."""
    task = record.get("task")
    if task in REWARDS and task not in OPEN_TASKS:
        return "verifiable"
    return "open" if record.get("answer") not in (None, "", []) else "without reference"


def unjudged(record: dict, name: str) -> str:
    """The error message for a record whose reward part `name` needs a model that was not given."""
    task, flag = record.get("task"), "--judge"
    if name == SCORE:
        flag = "--reward-model or --judge"
    return f"record {record.get('id')!r}: task {task!r} needs a model; give {flag} URL"


def checked(penalties: Sequence[str]) -> dict[str, float]:
    """The weights by name of penalties given as NAME or NAME=WEIGHT; UserError if one is invalid."""
    found = {}
    for word in penalties:
        name, equals, number = word.partition("=")
        find(name)
        try:
            found[name] = float(number) if equals else _SUPPRESSED[name]
        except ValueError:
            raise UserError(f"--penalty {word}: expected NAME=WEIGHT") from None
        if not 0 <= found[name] < float("inf"):
            raise UserError(f"--penalty {word}: expected a weight of at least 0")
    return found


def parts(record: dict, stage: str | None, penalties: Mapping[str, float]) -> dict[str, float]:
    """The parts of a record's reward, with their weights."""
    row = STAGES[stage][kind(record)] if stage else {VERIFIER: 1.0}
    return {**row, **penalties}


def penalised(record: dict, response: dict, wanted: Parts) -> dict:
    """The response with the wanted penalties in `rewards` and their reasons in its verdict."""
    rewards = dict(response.get("rewards") or {})
    reasons = {}
    for name in wanted:
        if name in PENALTIES:
            penalty = find(name)(record, response)
            rewards[name] = penalty.value
            if penalty.detail:
                reasons[name] = penalty.detail
    verdict = {**(response.get("verdict") or {}), **({"penalties": reasons} if reasons else {})}
    return {**response, "rewards": rewards, "verdict": verdict}


def combined(response: dict, wanted: Parts) -> dict:
    """The response with `reward`, the weighted sum of its parts; null if a part is missing."""
    rewards: dict[str, float] = response.get("rewards") or {}
    verifier: str = (response.get("verdict") or {}).get("verifier", "")
    names = {name: verifier if name == VERIFIER else name for name in wanted}
    if any(name not in rewards for name in names.values()):
        return {**response, "reward": None}
    total = sum(weight * rewards[names[part]] for part, weight in wanted.items())
    return {**response, "reward": round(total, 6)}
