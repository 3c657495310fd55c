"""Penalties of general RL for bad conduct (report 4.4.2): repetition, and errors of format.

They are told by the rules of qvl-filter-responses(1), with their thresholds, so that what is dropped
from SFT data is what is penalised later. The report publishes no formula: ours.
"""

from qvl.curate.rules.responses import RULES, AskedFor, ResponseRules, told_repetition
from qvl.curate.selection.triggers import BEHAVIOURS
from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers

_RULES = ResponseRules()
_TABLE = dict(RULES)


def repetition(record: dict, response: dict) -> Penalty:
    """-1 for a loop, else minus the share of the text that stood before; 0 under the thresholds, and
    where repetition was asked for. Of the final answer or of the thinking, whichever is worse."""
    answer = answers.of_response(response)
    parts = {"answer": answer.content, "thinking": answer.reasoning}
    found = ((*told_repetition(part, _RULES), name) for name, part in parts.items())
    share, told, name = max(found)
    if not told or AskedFor(record).may_repeat:
        return NONE
    return Penalty(-share, f"{name}: {told}")


def malformed(record: dict, response: dict) -> Penalty:
    """-1 where a tag, token, tool call, box or JSON is broken. What is well formed earns nothing: the
    report has format prompts in place of a format reward (4.4.1)."""
    known, answer = AskedFor(record), answers.of_response(response)
    for name in BEHAVIOURS["format"]:
        told = _TABLE[name](answer, known, _RULES)
        if told:
            return Penalty(-1.0, f"{name}: {told}")
    return NONE
