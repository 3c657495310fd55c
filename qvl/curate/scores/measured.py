"""Scores that rules measure, an axis each: from 0 to 1, higher is better.

Helpfulness, use of the image and style need a judge. An axis that cannot be measured of an answer is left
out, so a threshold on it drops nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from statistics import fmean, median

from qvl.curate.rules import outcome
from qvl.curate.rules.drop_responses import Failures, Find
from qvl.curate.rules.outcome import NoVerdict
from qvl.curate.rules.responses import FORM, RULES, ResponseRules
from qvl.errors import UserError
from qvl.record import final, scores_of, with_scores
from qvl.stage import Drop
from qvl.text import answers, repetition, scripts, truncation
from qvl.text.answers import Answer
from qvl.text.asked_for import AskedFor

STAGE = "score-responses"
ERRORS = "verdict_errors"  # verdicts that the task's verifier did not give, as it failed or ran out of time
MODEL = "reward_model"  # the value of a reward model, without bounds
WINS = "judge_wins"  # the share of its comparisons that a response wins
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,  # mean is exact, in fractions, and costs as much as the rules do
    "median": median,
    "min": min,
}


def correctness(answer: Answer, context: AskedFor) -> float | NoVerdict | None:
    """The reward of the task's verifier, where the record has a reference answer."""
    return outcome.correctness(context.record, answer)


def completeness_(answer: Answer, context: AskedFor) -> float:
    """1, or 0 for an answer without text or a truncated one."""
    empty = not answer.content.strip() and not answer.calls
    return 0.0 if empty or truncation.find(answer.content, answer.finish_reason) else 1.0


def clarity(answer: Answer, context: AskedFor) -> float:
    """1 less the share of text in loops, or in lines and sentences that repeat earlier ones."""
    if context.may_repeat:
        return 1.0
    return min(_clarity(answer.content), _clarity(answer.reasoning))


def _clarity(text: str) -> float:
    shortest, times = ResponseRules.loop_chars, ResponseRules.loop_times
    loops = repetition.loops(text, shortest=shortest, times=times)
    looped = sum(loop.length for loop in loops if loop.wordy) / max(1, len(text))
    return round(max(0.0, 1 - max(looped, repetition.repeated_share(text)[0])), 4)


def language(answer: Answer, context: AskedFor) -> float:
    """1 less the share of words in a script that the query does not use, without names and quotations."""
    if context.may_mix:
        return 1.0
    parts = (answer.content, answer.reasoning)
    shares = (
        scripts.mixture(context.query, part, may_quote=context.may_quote)[0] for part in parts
    )
    return round(1 - max(shares), 4)


def form_(answer: Answer, context: AskedFor) -> float:
    """1, or 0 for an answer that filter-responses drops for its form: the reasons of FORM."""
    return 0.0 if any(rule(answer, context, _RULES) for rule in _FORM) else 1.0


_RULES = ResponseRules()
_FORM = [rule for reason, rule in RULES if reason in FORM]


AXES = {
    "correctness": correctness,
    "completeness": completeness_,
    "clarity": clarity,
    "language": language,
    "form": form_,
}


def annotate(record: dict) -> dict:
    """The record with `scores` of its final turn and of each response.

    scores["score-responses"] are those of the final turn; without one, the mean of the responses.
    """
    turn, responses = answers.of_record(record)
    if turn is None and not responses:
        return record
    context = AskedFor(record)
    scored = [measure(answer, context) for answer in responses]
    own = measure(turn, context) if turn is not None else _mean(scored)
    return with_scores(record, STAGE, own, scored, update=True)


def measure(answer: Answer, context: AskedFor) -> dict[str, float]:
    """Axis -> score, without the axes that cannot be measured of this answer.

    verdict_errors is 1 if the verifier failed.
    """
    values = {name: axis(answer, context) for name, axis in AXES.items()}
    row: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, NoVerdict):
            row[ERRORS] = 1
        elif value is not None:
            row[name] = value
    return row


def _mean(scored: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each axis, and the number of verdicts that failed."""
    columns = {name: [axes[name] for axes in scored if name in axes] for name in AXES}
    row: dict[str, float] = {
        name: round(sum(of) / len(of), 4) for name, of in columns.items() if of
    }
    if failed := sum(ERRORS in axes for axes in scored):
        row[ERRORS] = failed
    return row


def watch(records: Iterable[dict], note: Callable[..., None]) -> Iterator[dict]:
    """The records unchanged; at the end calls `note` with the number of verdicts that failed, if any did."""
    failed = 0
    for record in records:
        rows = [one.get("scores") or {} for one in record.get("responses") or []]
        if final(record) is not None:
            rows.append(scores_of(record, STAGE))
        failed += sum(ERRORS in row for row in rows)
        yield record
    if failed:
        note(**{ERRORS: failed})


def thresholds(
    given: Sequence[str], more: Sequence[str] = (), *, of: Mapping[str, tuple[float, float]] = {}
) -> dict[str, float]:
    """The values of --min: ["clarity=0.5"] -> {"clarity": 0.5}. UserError for an unknown axis.

    more: names of further axes. of: axes with their lowest and highest scores, in place of ours."""
    ours = {name: (-inf, inf) if name == MODEL else (0.0, 1.0) for name in (*AXES, *more)}
    known = of or ours
    least = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise UserError(f"--min {text}: expected AXIS=X with an axis of {', '.join(known)}")
        try:
            least[name] = float(value)
        except ValueError:
            raise UserError(f"--min {text}: expected a number, not {value!r}") from None
        low, high = known[name]
        if not low <= least[name] <= high:
            raise UserError(f"--min {text}: expected a score from {low} to {high}")
    return least


def below(axes: dict[str, float], least: dict[str, float]) -> Drop | None:
    """A Drop for the first axis below its threshold; a missing axis is not below it."""
    for name, bound in least.items():
        if axes.get(name, bound) < bound:
            return Drop(f"low-{name}", f"{axes[name]:.2g} is below {bound:g}")
    return None


def find_below(least: dict[str, float]) -> Find:
    """A function that finds what scores below a threshold, in records that were scored."""

    def find(record: dict) -> Failures:
        has_turn = final(record) is not None
        own = scores_of(record, STAGE)
        turn = below(own, least) if has_turn else None
        responses = record.get("responses") or []
        return Failures(
            turn, [below(one.get("scores") or {}, least) for one in responses], has_turn
        )

    return find
