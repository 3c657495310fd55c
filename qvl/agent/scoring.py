"""Score episodes: the answer, the calls and the reasoning, as qvl.agent.reward combines them."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import orjson

from qvl.agent import reward
from qvl.judge import Judge, Judgment, material
from qvl.judge.material import Section
from qvl.pending import Gather, Pending
from qvl.reward.verify import Verify
from qvl.stage import Drop

MAX_ANSWER = 1000  # characters that a judge accepts as an answer, as DeepEyes does: against answers that argue
ANSWER, REASONING, CALLS = "judge", "reasoning", "calls"


@dataclass(frozen=True, kw_only=True)
class EpisodeScores:
    """Adds reward, its parts and verdict to the episodes of records."""

    verify: Verify
    reasoning: Sequence[Judge] = ()
    """Read the trajectory."""
    answers: Sequence[Judge] = ()
    """Compare the answer with the reference, in place of the verifier."""

    def submit(self, record: dict) -> Pending:
        """The record with scored responses, to come."""
        given = record.get("responses") or []
        done = record if self.answers else self.verify.verified(record)
        asked = [self._asked(record, place, one) for place, one in enumerate(given)]
        flat = [each for pair in asked for part in pair for each in part]

        def combine(found: list[Judgment]) -> dict:
            left = iter(found)
            responses = []
            for one, (answers, reasonings) in zip(done["responses"], asked, strict=True):
                said = [next(left) for _ in answers]
                seen = [next(left) for _ in reasonings]
                responses.append(self._scored(record, one, said, seen))
            return {**record, "responses": responses}

        if not given:
            return Gather([], lambda _: {**record, "responses": []})
        return Gather(flat, combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """The number of episodes, those without a reward, and the record's name."""
        if isinstance(result, Drop):
            return 0, 0, ""
        rewards = [each["reward"] for each in result["responses"]]
        return len(rewards), rewards.count(None), f"record {result.get('id')!r}"

    def _asked(self, record: dict, place: int, response: dict) -> tuple[list[Any], list[Any]]:
        identity = f"{record.get('id')}/{place}"
        answer = Section("answer", (response.get("content") or "")[:MAX_ANSWER])
        return (
            [
                each.submit(f"{identity}/answer", material.of_record(record, answer))
                for each in self.answers
            ],
            ask_reasoning(self.reasoning, record, place, response),
        )

    def _scored(
        self, record: dict, response: dict, said: Sequence[Judgment], seen: Sequence[Judgment]
    ) -> dict:
        if self.answers:
            response = _judged(response, said)
        rewards, verdict = dict(response.get("rewards") or {}), dict(response["verdict"])
        accuracy = rewards.get(verdict.get("verifier", ""))
        fit = reward.fit_of(record, response) if "num_calls" in response else None
        if fit is not None:
            rewards[CALLS] = round(fit, 4)
        errors = [each.error for each in seen if each.error]
        reasoning = reasoning_of(self.reasoning, seen) if seen else None
        if reasoning is not None:
            rewards[REASONING] = reasoning
        if accuracy is None or errors:
            verdict["detail"] = verdict.get("detail") or (errors[0] if errors else "")
            return {**response, "reward": None, "rewards": rewards, "verdict": verdict}
        total = round(reward.score(accuracy, fit, reasoning), 6)
        return {**response, "reward": total, "rewards": rewards, "verdict": verdict}


def ask_reasoning(
    judges: Sequence[Judge], record: dict, place: int, response: dict
) -> list[Future[Judgment]]:
    """Ask judges about the trajectory of response number `place`."""
    shown = material.of_record(record, Section("trajectory", trajectory(response)))
    return [each.submit(f"{record.get('id')}/{place}", shown) for each in judges]


def reasoning_of(judges: Sequence[Judge], found: Sequence[Judgment]) -> float | None:
    """The mean of their axes, 0 to 1; None where one of them gave no verdict."""
    if any(each.error for each in found):
        return None
    values = [judge_share(judge, each) for judge, each in zip(judges, found, strict=True)]
    return round(fmean(values), 4)


def judge_share(judge: Judge, judgment: Judgment) -> float:
    """The mean of a judge's axes, 0 to 1."""
    fields = judge.prompt.fields
    return fmean(fields[name].share(judgment.values[name]) for name in judge.prompt.scales)


def trajectory(response: dict) -> list[dict[str, Any]]:
    """The turns of an episode as content parts, the images of tools among them."""
    parts: list[dict[str, Any]] = []

    def say(text: str) -> None:
        parts.append({"type": "text", "text": text})

    for message in response.get("messages") or []:
        if message["role"] == "tool":
            say("\n[tool]\n")
            content = message["content"]
            parts.extend(
                [{"type": "text", "text": content}] if isinstance(content, str) else content
            )
            continue
        say("\n[agent]\n")
        if message.get("reasoning_content"):
            say(f"(thinks) {message['reasoning_content']}\n")
        if message.get("content"):
            say(message["content"])
        for each in message.get("tool_calls") or []:
            say(f"\n(calls) {orjson.dumps(each['function']).decode()}")
    return parts or [{"type": "text", "text": response.get("content") or ""}]


def _judged(response: dict, judgments: Sequence[Judgment]) -> dict:
    """The response with the accuracy that judges give, all of whom must agree that it is right."""
    verdict: dict[str, Any] = {"verifier": ANSWER, "extracted": response.get("content") or ""}
    rewards = dict(response.get("rewards") or {})
    rewards.pop(ANSWER, None)
    errors = [each.error for each in judgments if each.error]
    if errors:
        return {
            **response,
            "rewards": rewards,
            "verdict": {**verdict, "status": "error", "detail": errors[0]},
        }
    is_short = 0 < len(response.get("content") or "") <= MAX_ANSWER
    rewards[ANSWER] = float(is_short and all(each.values["correct"] for each in judgments))
    detail = "" if is_short else f"no answer, or over {MAX_ANSWER} characters"
    return {
        **response,
        "rewards": rewards,
        "verdict": {**verdict, "status": "ok", "detail": detail},
    }
