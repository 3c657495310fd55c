"""The penalty for format errors (report 4.4.2), by the format rules of qvl-filter-responses(1).

A correct format adds nothing: the report uses format prompts in place of a format reward (4.4.1).
"""

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, form
from qvl.text.asked_for import AskedFor


def penalty(record: dict, response: dict) -> Penalty:
    """-1 if a tag, special token, tool call, box or JSON is malformed, else 0."""
    for reason, detail in form.problems(answers.of_response(response), AskedFor(record)):
        return Penalty(-1.0, f"{reason}: {detail}")
    return NONE
