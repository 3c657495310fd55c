"""Rewards by models, for responses that rules cannot verify: judges and reward models.

The part `judge` is the mean over the axes of the prompt (qvl/prompts/judge/reward.txt) and over the
judges, from 0 to 1; each axis is also stored, as judge_AXIS. If a reply cannot be parsed, the verdict is
an error and the response has no reward.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from qvl.errors import UserError
from qvl.judge import Judge, Judgment, material
from qvl.judge.material import Section
from qvl.judge.reward_model import RewardModel
from qvl.pending import Gather, Pending, Ready
from qvl.reward import hybrid
from qvl.reward.reading.extract import final
from qvl.reward.verdict import MAX_DETAIL
from qvl.reward.verify import Verify
from qvl.stage import Drop
from qvl.text import answers


@dataclass(frozen=True, kw_only=True)
class JudgedRewards:
    """Rewards the responses of a record by rules, judges and a reward model, as its kind requires."""

    verify: Verify
    judges: Sequence[Judge] = ()
    model: RewardModel | None = None
    """For records without a reference answer; without a model, the judges score these too."""

    def submit(self, record: dict) -> Pending:
        """The pending record with its rewards."""
        wanted = hybrid.parts(record, self.verify.stage, self.verify.penalties)
        if hybrid.SCORE in wanted and self.model is None and self.judges:
            wanted[hybrid.JUDGE] = wanted.pop(hybrid.SCORE)
        done = self.verify.verified(record) if hybrid.VERIFIER in wanted else record
        given = done.get("responses") or []
        if hybrid.SCORE in wanted:
            return self._scored(done, given, wanted)
        if hybrid.JUDGE not in wanted:
            return Ready(self._weighed(done, given, wanted))
        if not self.judges:
            raise UserError(hybrid.unjudged(record, hybrid.JUDGE))
        judgments = [
            judge.submit(f"{record['id']}/{place}", material.of_record(record, _section(one)))
            for place, one in enumerate(given)
            for judge in self.judges
        ]

        def combine(found: list[Judgment]) -> dict:
            count = len(self.judges)
            rows = [found[at : at + count] for at in range(0, len(found), count)]
            judged = [self._judged(one, row) for one, row in zip(given, rows, strict=True)]
            return self._weighed(done, judged, wanted)

        return Gather(judgments, combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """The number of verdicts by models, the number of errors among them, and the record's name."""
        if isinstance(result, Drop):
            return 0, 0, ""
        judged = [one["verdict"] for one in result.get("responses") or [] if _is_modelled(one)]
        wrong = sum(verdict["status"] != "ok" for verdict in judged)
        return len(judged), wrong, f"record {result['id']!r}"

    def _scored(self, record: dict, given: Sequence[dict], wanted: hybrid.Parts) -> Pending:
        if self.model is None:
            raise UserError(hybrid.unjudged(record, hybrid.SCORE))
        contents = [answers.of_response(one).content for one in given]

        def combine(found: list[float | None]) -> dict:
            scored = [_valued(one, value) for one, value in zip(given, found, strict=True)]
            return self._weighed(record, scored, wanted)

        return Gather(self.model.submit(record, contents), combine)

    def _weighed(self, record: dict, responses: Sequence[dict], wanted: hybrid.Parts) -> dict:
        return {
            **record,
            "responses": [self.verify.weighed(record, one, wanted) for one in responses],
        }

    def _judged(self, response: dict, judgments: Sequence[Judgment]) -> dict:
        """The response with the rewards of its judges, which replace those of an earlier run."""
        earlier = response.get("rewards") or {}
        rewards = {
            name: value for name, value in earlier.items() if not name.startswith(hybrid.JUDGE)
        }
        errors = [judgment.error for judgment in judgments if judgment.error]
        verdict: dict[str, Any] = {"verifier": hybrid.JUDGE, "extracted": final(response)}
        if errors:
            verdict |= {"status": "error", "detail": " ".join(errors[0].split())[:MAX_DETAIL]}
        else:
            axes = {
                f"{hybrid.JUDGE}_{name}": round(fmean(each), 4)
                for name, each in self._axes(judgments).items()
            }
            rewards |= {hybrid.JUDGE: round(fmean(axes.values()), 4), **axes}
            reason = judgments[0].values.get("reason", "")
            verdict |= {"status": "ok", "detail": " ".join(str(reason).split())[:MAX_DETAIL]}
        return {**response, "rewards": rewards, "verdict": verdict}

    def _axes(self, judgments: Sequence[Judgment]) -> dict[str, list[float]]:
        """The scores of each axis, as fractions of its scale."""
        found: dict[str, list[float]] = {}
        for judge, judgment in zip(self.judges, judgments, strict=True):
            for name in judge.prompt.scales:
                share = judge.prompt.fields[name].share(judgment.values[name])
                found.setdefault(name, []).append(share)
        return found


def _is_modelled(response: dict) -> bool:
    return (response.get("verdict") or {}).get("verifier") in (hybrid.JUDGE, hybrid.SCORE)


def _valued(response: dict, value: float | None) -> dict:
    """The response with the score of a reward model; value: None if the endpoint refused it."""
    rewards = {**(response.get("rewards") or {})}
    rewards.pop(hybrid.SCORE, None)
    verdict: dict[str, Any] = {"verifier": hybrid.SCORE, "extracted": final(response)}
    if value is None:
        verdict |= {"status": "error", "detail": "the reward model refused it"}
    else:
        rewards[hybrid.SCORE] = round(_sigmoid(value), 6)
        verdict |= {"status": "ok", "detail": f"{value:.6g} before the sigmoid"}
    return {**response, "rewards": rewards, "verdict": verdict}


def _sigmoid(value: float) -> float:
    value = max(-700.0, min(700.0, value))  # beyond, the exponential overflows
    return 1 / (1 + math.exp(-value))


def _section(response: dict) -> Section:
    return Section("response", answers.of_response(response).content)
