"""Which queries are worth a response, by a judge, which decides what rules cannot.

The report filters queries that are not readily verifiable, minimally revises ambiguous instructions
and drops web queries without substance, with scores of complexity and contextual relevance (section
4.2.1). It publishes no prompt, scale or threshold; they are our choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qvl.curate.rules import revision
from qvl.curate.rules.queries import QueryRules
from qvl.judge import Judge, Judgment, material
from qvl.pending import Gather, Pending, Ready
from qvl.record import text, with_scores
from qvl.stage import Drop

STAGE = "filter-queries"
NO_VERDICT = "no-verdict"


@dataclass(frozen=True, kw_only=True)
class JudgedQueries:
    """The rules for queries, then the judge for those that pass."""

    rules: QueryRules
    judge: Judge
    least: Mapping[str, float] = field(default_factory=dict)
    """Axis -> the minimum score to keep a record, on the prompt's scale."""
    revise: bool = True
    """Whether to replace an ambiguous query by the judge's revision, or to drop the record."""
    min_similarity: float = revision.MIN_SIMILARITY

    def submit(self, record: dict) -> Pending:
        """The pending result: the record with the judge's scores, or a Drop."""
        drop = self.rules(record)
        if drop is not None:
            return Ready(drop)
        sections = material.of_record(record)
        pending = self.judge.submit(record["id"], sections)
        return Gather([pending], lambda verdicts: self.decide(record, verdicts[0]))

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """The number of verdicts requested, the number of errors among them, and the error."""
        wrong = isinstance(result, Drop) and result.reason == NO_VERDICT
        return 1, int(wrong), result.detail if isinstance(result, Drop) else ""

    def decide(self, record: dict, verdict: Judgment) -> dict | Drop:
        """The record with the verdict's scores, its query revised if it was ambiguous; or a Drop."""
        if verdict.error:
            return Drop(NO_VERDICT, verdict.error)
        values = verdict.values
        decided = self.judge.prompt.without_text(values)
        scored = with_scores(record, STAGE, {**decided, "judge": self.judge.name})
        reason = values.get("reason") or ""
        if values.get("substance") is False:
            return Drop("no-substance", reason, scored)
        if values.get("verifiable") is False:
            return Drop("not-verifiable", reason, scored)
        for axis, least in self.least.items():
            if values[axis] < least:
                return Drop(f"low-{axis}", f"{values[axis]:g}, under {least:g}: {reason}", scored)
        if values.get("ambiguous"):
            return self._revised(scored, values.get("revision") or "", reason)
        return scored

    def _revised(self, record: dict, revised: str, reason: str) -> dict | Drop:
        if not self.revise:
            return Drop("ambiguous", reason, record)
        place = _last_user(record)
        original = text(record["messages"][place])
        refused = revision.refusal(original, revised, self.min_similarity)
        turn = _with_text(record["messages"][place], revised)
        if refused is None and turn is None:
            refused = "its text is in several parts, between media"
        if refused is not None or turn is None:
            return Drop("ambiguous", f"{reason} The revision is refused: {refused}", record)
        messages = [*record["messages"][:place], turn, *record["messages"][place + 1 :]]
        revised_record = {**record, "messages": messages}
        return with_scores(revised_record, STAGE, {"original": original}, update=True)


def _last_user(record: dict) -> int:
    roles = [message["role"] for message in record["messages"]]
    return len(roles) - 1 - roles[::-1].index("user")


def _with_text(message: dict, words: str) -> dict | None:
    """The message with its text replaced; None if the text is in several parts."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": words}
    if sum(part.get("type") == "text" for part in content) != 1:
        return None
    parts = [{**part, "text": words} if part.get("type") == "text" else part for part in content]
    return {**message, "content": parts}
