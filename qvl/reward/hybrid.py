"""Which rewards count for which records, and how much: a table for each stage of RL.

The reward of a response is the sum of weight times part. Parts are

    verifier  what the verifier of the record's task says, 0 to 1
    judge     what a model says that sees the reference answer, the mean of its axes, 0 to 1
    score     what a scalar reward model says, by a sigmoid 0 to 1
    language, repetition, format    penalties, -1 to 0 (qvl.reward.penalties)

The kinds are those of the reports: rules where an answer can be verified, a judge with the reference
where it is open, a reward model or a judge where there is none (Qwen3-VL 4.4.2; Qwen3 4.4). The weights
are our choice: half a point, so that a right answer in the wrong language is worth more than a wrong
one in the right language, and less than one that is right in both.
"""

from collections.abc import Mapping, Sequence

from qvl.errors import UserError
from qvl.reward import REWARDS
from qvl.reward.penalties import PENALTIES, find

VERIFIER, JUDGE, SCORE = "verifier", "judge", "score"
Parts = Mapping[str, float]

_SUPPRESSED = {"language": 0.5, "repetition": 0.5, "format": 0.5}
STAGES: dict[str, dict[str, Parts]] = {
    "reasoning": {  # report 4.4.1: everything is verified, and languages are not mixed
        "verifiable": {VERIFIER: 1.0, "language": 0.5},
        "open": {VERIFIER: 1.0, "language": 0.5},
        "without reference": {VERIFIER: 1.0, "language": 0.5},
    },
    "general": {  # report 4.4.2: rules and models, and bad conduct is suppressed
        "verifiable": {VERIFIER: 1.0, **_SUPPRESSED},
        "open": {JUDGE: 1.0, **_SUPPRESSED},
        "without reference": {SCORE: 1.0, **_SUPPRESSED},
    },
}
OPEN_TASKS = ("vqa", "caption")  # whose right answers have many wordings, though a verifier exists


def kind(record: dict) -> str:
    """The row of a stage's table that a record is under."""
    task = record.get("task")
    if task in REWARDS and task not in OPEN_TASKS:
        return "verifiable"
    return "open" if record.get("answer") not in (None, "", []) else "without reference"


def unjudged(record: dict, name: str) -> str:
    """That the model is lacking which gives the part `name` of a record's reward."""
    task, flag = record.get("task"), "--judge"
    if name == SCORE:
        flag = "--reward-model or --judge"
    return f"record {record.get('id')!r}: task {task!r} is one for a model: give {flag} URL"


def checked(penalties: Sequence[str]) -> dict[str, float]:
    """NAME or NAME=WEIGHT of each -> weights. UserError for another name or weight."""
    found = {}
    for word in penalties:
        name, equals, number = word.partition("=")
        find(name)
        try:
            found[name] = float(number) if equals else _SUPPRESSED[name]
        except ValueError:
            raise UserError(f"--penalty {word}: expected NAME=WEIGHT") from None
        if not 0 <= found[name] < float("inf"):
            raise UserError(f"--penalty {word}: a weight is 0 or more")
    return found


def parts(record: dict, stage: str | None, penalties: Mapping[str, float]) -> dict[str, float]:
    """What counts for a record, with its weight."""
    row = STAGES[stage][kind(record)] if stage else {VERIFIER: 1.0}
    return {**row, **penalties}


def penalised(record: dict, response: dict, wanted: Parts) -> dict:
    """The response with each wanted penalty among its `rewards`, and why in its verdict."""
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
    """The response with the `reward` of its parts; null where one of them has none."""
    rewards: dict[str, float] = response.get("rewards") or {}
    verifier: str = (response.get("verdict") or {}).get("verifier", "")
    names = {name: verifier if name == VERIFIER else name for name in wanted}
    if any(name not in rewards for name in names.values()):
        return {**response, "reward": None}
    total = sum(weight * rewards[names[part]] for part, weight in wanted.items())
    return {**response, "reward": round(total, 6)}
