"""Prompts that trigger bad behaviour, so that it can be penalised often (report 4.4.2).

Language mixing, repetition and format errors are rare in the data as a whole. Sampling finds the prompts
where they are not: a share of the responses breaks the rules of filter-responses.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from qvl.curate.rules.responses import FORM, RULES, ResponseRules
from qvl.errors import UserError
from qvl.stage import Drop
from qvl.text import answers
from qvl.text.asked_for import AskedFor

BEHAVIOURS = {  # the three that the report names -> the rules of filter-responses that find them
    "language-mixing": ("language-mixing",),
    "repetition": ("repetition",),
    "format": FORM,
}
_TABLE = dict(RULES)


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """Called on a record with responses it returns it with `trigger`, or a Drop. Can be pickled."""

    behaviours: tuple[str, ...] = tuple(BEHAVIOURS)
    """Which behaviours to look for."""

    min_rate: float = 0.125
    """Minimum share of the responses that show one of them: 2 of 16 (our choice)."""

    rules: ResponseRules = field(default_factory=ResponseRules)

    keep_responses: bool = False

    def __post_init__(self) -> None:
        for name in self.behaviours:
            if name not in BEHAVIOURS:
                raise UserError(f"--behaviour {name}: expected {', '.join(BEHAVIOURS)}")

    def __call__(self, record: dict) -> dict | Drop:
        given = [answers.of_response(one) for one in record.get("responses") or []]
        if not given:
            return Drop("no-response", "nothing was sampled")
        known = AskedFor(record, self.rules.words)
        counts: Counter[str] = Counter()
        details: dict[str, str] = {}
        for answer in given:
            for name, detail in self._shown(answer, known):
                counts[name] += 1
                details.setdefault(name, detail)
        rates = {name: round(number / len(given), 4) for name, number in counts.most_common()}
        found = [name for name in rates if counts[name] >= self.min_rate * len(given)]
        if not found:
            seen = ", ".join(f"{name} in {number}" for name, number in counts.most_common())
            return Drop("quiet", f"{len(given)} responses: {seen or 'no bad behaviour'}")
        trigger = {"behaviours": found, "rates": rates, "responses": len(given)}
        done = {**record, "trigger": {**trigger, "detail": details[found[0]]}}
        if self.keep_responses:
            return done
        return {name: value for name, value in done.items() if name != "responses"}

    def _shown(self, answer: answers.Answer, known: AskedFor) -> Iterator[tuple[str, str]]:
        """The bad behaviours of one response, each with its detail."""
        for name in self.behaviours:
            details = (_TABLE[rule](answer, known, self.rules) for rule in BEHAVIOURS[name])
            detail = next(filter(None, details), "")
            if isinstance(detail, str) and detail:  # a verdict that is missing is no behaviour
                yield name, detail
