"""The penalty for repetition (report 4.4.2).

Repetition is measured by the rule `repetition` of qvl-filter-responses(1) with its thresholds, so that RL
penalizes what SFT data excludes. The report publishes no formula; this one is ours.
"""

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, repetition
from qvl.text.asked_for import AskedFor


def penalty(record: dict, response: dict) -> Penalty:
    """The penalty: -1 for a loop, else minus the share of repeated text.

    It is 0 within the thresholds, or if the prompt requests repetition. The final answer or the thinking
    counts, whichever is worse.
    """
    answer = answers.of_response(response)
    parts = {"answer": answer.content, "thinking": answer.reasoning}
    share, detail, name = max((*repetition.excess(part), name) for name, part in parts.items())
    if not detail or AskedFor(record).may_repeat:
        return NONE
    return Penalty(-share, f"{name}: {detail}")
