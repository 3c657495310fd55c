"""The penalty for repetition (report 4.4.2).

Repetition is measured as the rule `repetition` of qvl-filter-responses(1) does, with its thresholds, so
that what is dropped from SFT data is what is penalised later. The report publishes no formula: ours.
"""

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, repetition
from qvl.text.asked_for import AskedFor


def penalty(record: dict, response: dict) -> Penalty:
    """-1 for a loop, else minus the share of the text that repeats; 0 within the thresholds, and where
    repetition is asked for. Of the final answer or of the thinking, whichever is worse."""
    answer = answers.of_response(response)
    parts = {"answer": answer.content, "thinking": answer.reasoning}
    share, detail, name = max((*repetition.excess(part), name) for name, part in parts.items())
    if not detail or AskedFor(record).may_repeat:
        return NONE
    return Penalty(-share, f"{name}: {detail}")
