"""The measurements of the rules for responses, also of answers within the thresholds."""

from qvl.curate.rules.drop_responses import Failures
from qvl.curate.rules.responses import ResponseRules
from qvl.text import answers, function_words, repetition, scripts
from qvl.text.answers import Answer
from qvl.text.asked_for import AskedFor


class Explained:
    """The rules for responses; called on a record it returns their findings with the measurements."""

    def __init__(self, rules: ResponseRules) -> None:
        self.rules = rules

    def __call__(self, record: dict) -> Failures:
        verdicts = self.rules(record)
        turn, responses = answers.of_record(record)
        context = AskedFor(record, self.rules.words)
        return verdicts._replace(
            turn_measures=self.measure(turn, context) if turn is not None else None,
            measures=[self.measure(answer, context) for answer in responses],
        )

    def measure(self, answer: Answer, context: AskedFor) -> dict[str, float]:
        """Name -> measurement, of the reasoning or the content, whichever is worse."""
        parts = [part for part in (answer.content, answer.reasoning) if part] or [""]
        loops = [loop for part in parts for loop in repetition.loops(part, shortest=1, times=2)]
        longest = max(loops, key=lambda loop: loop.length, default=None)
        mixtures = [
            scripts.mixture(context.query, part, may_quote=context.may_quote) for part in parts
        ]
        return {
            "loop_times": round(longest.times, 1) if longest else 1.0,
            "loop_chars": longest.length if longest else 0,
            "repeated": round(max(repetition.repeated_share(part)[0] for part in parts), 4),
            "grams": round(max(map(repetition.repeated_grams, parts)), 4),
            "density": round(min(map(repetition.density, parts)), 4),
            "mixed": round(max(share for share, _ in mixtures), 4),
            "foreign": round(
                max(function_words.foreign(context.query, one).share for one in parts), 4
            ),
            "reasoning_chars": len(answer.reasoning.strip()) + len(answer.content.strip()),
        }
