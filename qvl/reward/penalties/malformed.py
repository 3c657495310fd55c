"""The penalty for errors of format (report 4.4.2): the rules of qvl-filter-responses(1) for form.

What is well formed earns nothing: the report has format prompts in place of a format reward (4.4.1).
"""

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, form
from qvl.text.asked_for import AskedFor


def penalty(record: dict, response: dict) -> Penalty:
    """-1 where a tag, token, tool call, box or JSON is broken, else 0."""
    for reason, detail in form.problems(answers.of_response(response), AskedFor(record)):
        return Penalty(-1.0, f"{reason}: {detail}")
    return NONE
