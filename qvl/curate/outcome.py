"""Whether an answer comes to the right result, where the record says what that is."""

import re

from qvl import reward
from qvl.curate.answers import Answer
from qvl.reward import REWARDS, Unverifiable
from qvl.reward.extract import final

RIGHT = 0.5  # our choice: a graded verifier (overlap of boxes, edit distance) is right from here on
BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


def correctness(record: dict, answer: Answer) -> float | None:
    """What the task's verifier gives; None where there is none, no reference, or it cannot tell.

    A verifier of words wants the final answer alone. "The shortest is Cid." need not be wrong, so a
    last line that holds the reference is not told.
    """
    task, reference = record.get("task"), record.get("answer")
    if reference is None or task not in REWARDS:
        return None
    response = {"content": answer.content}
    try:
        value = reward.verify(record, response)
    except Unverifiable:
        return None
    if value == 0 and isinstance(reference, str) and WORDS in REWARDS[task]:
        spoken = rf"(?<!\w){re.escape(reference.strip())}(?!\w)"
        if re.search(spoken, final(response), re.IGNORECASE):
            return None
    return value


WORDS = ".exact:"


def inconsistent(answer: Answer) -> str:
    """The last boxed result of the thought against that of the answer, where both have one."""
    if "\\boxed" not in answer.reasoning or "\\boxed" not in answer.content:
        return ""
    thought, said = BOXED.findall(answer.reasoning), BOXED.findall(answer.content)
    if not thought or not said or _bare(thought[-1]) == _bare(said[-1]):
        return ""
    return f"the thought comes to {thought[-1][:40]!r}, the answer to {said[-1][:40]!r}"


def _bare(result: str) -> str:
    """A result without what does not change it: spaces, \\text, $, and the d of \\dfrac."""
    plain = result.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return re.sub(r"\\text\s*|\\left|\\right|\\[,!; ]|[\s${}]", "", plain).rstrip(".").lower()
