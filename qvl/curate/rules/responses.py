"""Which answers are worth training on, by rules that need no model.

A rule is a function of an Answer, of what its record asks for, and of the thresholds, and returns what is
wrong, or "". RULES has the reason of each. The rules apply to a record's final turn and to each of its
`responses`. The papers publish no threshold: all are our choice, with the reason beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qvl.curate.rules import outcome, topic
from qvl.curate.rules.drop_responses import Failures
from qvl.curate.rules.outcome import NoVerdict
from qvl.errors import UserError
from qvl.record import question
from qvl.reward import RIGHT
from qvl.stage import Drop
from qvl.text import answers, form, mixing, repetition, style, truncation, words
from qvl.text.answers import Answer
from qvl.text.asked_for import AskedFor
from qvl.text.written_about import without_tags

THINKING = ("allow", "forbid", "require")


@dataclass(frozen=True, kw_only=True)
class ResponseRules:
    """The thresholds of the rules; called on a record it finds what is wrong with each answer."""

    loop_times: int = repetition.LOOP_TIMES
    """Consecutive repetitions that make a loop: refrains and drills have up to 4 or 5."""

    loop_chars: int = repetition.LOOP_CHARS
    """Minimum characters of a loop at the end of an answer; elsewhere twice as many. "ha ha ha" is shorter.
    Loops without a letter need twice as many, and rulers and matrices four times."""

    max_repeated: float = repetition.MAX_REPEATED
    """Maximum share of text in lines and sentences that repeat earlier ones. Gopher drops web pages over
    0.2 (arXiv 2112.11446, table A1); worked answers repeat themselves, and checks of several options reach 0.3."""

    min_density: float = repetition.MIN_DENSITY
    """Minimum ratio of compressed size to size, for answers of a kilobyte and more: prose has at least
    0.3, a long list of boxes 0.15, a loop with a counter 0.05."""

    max_grams: float = repetition.MAX_GRAMS
    """Maximum share of words in repeated 6-grams: text that is repeated with another number or name in it.
    Checks of several options reach 0.4."""

    max_mixed: float = mixing.MAX_MIXED
    """Maximum share of words in a script that the query does not use: a term or two without quotation
    marks stay below it."""

    max_foreign: float = mixing.MAX_FOREIGN
    """Maximum share of words in sentences of another language of the same script."""

    min_query_words: int = 5
    """Minimum content words of a query whose long answer is off topic if it uses none of them; 0 turns the rule
    off. A translated or terse answer uses few, so the query must have several."""

    skip: tuple[str, ...] = ()
    """Reasons for which nothing is dropped."""

    words: str | None = None
    """A folder of lists that replace those in qvl/text/words."""

    thinking: str = "allow"
    """Whether reasoning is allowed, forbidden (instruct data) or required (thinking data)."""

    min_reasoning: int = 0
    """Minimum number of characters of an answer with its reasoning, below which it is a guess; 0 turns
    the rule off, as a short question needs none."""

    check_answers: bool = True
    """Drop what the task's verifier finds wrong, where the record has a reference answer."""

    def __post_init__(self) -> None:
        if self.thinking not in THINKING:
            raise UserError(f"--thinking {self.thinking}: expected {', '.join(THINKING)}")
        names = [name for name, _ in RULES]
        for name in self.skip:
            if name not in names:
                raise UserError(f"--skip {name}: expected one of {', '.join(names)}")
        words.checked(self.words)

    def __call__(self, record: dict) -> Failures:
        turn, responses = answers.of_record(record)
        context = AskedFor(record, self.words) if turn is not None or responses else None
        if context is None:
            return Failures(None, [], False)
        own = self.judge(turn, context) if turn is not None else None
        found = [self.judge(answer, context) for answer in responses]
        return Failures(
            own if isinstance(own, Drop) else None,
            [each if isinstance(each, Drop) else None for each in found],
            turn is not None,
            verdict_errors=sum(isinstance(each, NoVerdict) for each in (own, *found)),
        )

    def judge(self, answer: Answer, context: AskedFor) -> Drop | NoVerdict | None:
        """A Drop for the first rule that an answer breaks; None if it breaks none.

        NoVerdict if the verifier failed on an answer that breaks no rule.
        """
        failed = None
        for reason, rule in RULES:
            detail = "" if reason in self.skip else rule(answer, context, self)
            if isinstance(detail, NoVerdict):
                failed = detail
            elif detail:
                return Drop(reason, detail)
        return failed


def empty(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    if answer.content.strip() or answer.calls:
        return ""
    if answer.finish_reason in truncation.FINISH_REASONS or _is_truncated_thinking(answer):
        return ""  # `truncated` finds it
    return "thinking without an answer" if answer.reasoning.strip() else "no text"


def truncated(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    text = answer.raw if _is_truncated_thinking(answer) else answer.content
    return truncation.find(text, answer.finish_reason)


def _is_truncated_thinking(answer: Answer) -> bool:
    used = without_tags(answer.raw)
    return not answer.content and "<think>" in used and "</think>" not in used


def repetitive(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    limits = {
        "loop_times": rules.loop_times,
        "loop_chars": rules.loop_chars,
        "max_repeated": rules.max_repeated,
        "min_density": rules.min_density,
        "max_grams": rules.max_grams,
    }
    parts = (answer.content, answer.reasoning)
    _, found = max(repetition.excess(part, **limits) for part in parts)
    return "" if found and context.may_repeat else found


def special_token(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    return form.special_token(answer, context.query)


def think_format(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    return form.think_tags(answer, rules.thinking)


def tool_format(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    return form.tool_calls(answer)


def bad_json(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    return form.bad_json(answer, context.task, context.form)


def off_topic(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    text = answer.content
    return (
        topic.blind(text, has_media=context.has_media, lists=rules.words)
        or topic.refused(text, context.query, rules.words)
        or topic.spilled(text, context.query, rules.words)
        or _unrelated(answer, context, rules)
    )


def _unrelated(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    """As topic.unrelated; "" if the query has media, which it may be about, or is about another language."""
    if context.has_media or answer.calls:
        return ""
    found = topic.unrelated(answer.content, question(context.record), rules.min_query_words)
    return "" if found and context.may_mix else found


def harmful(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    return topic.harmful(answer.content, context.query, rules.words)


def mixed_language(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    for part in (answer.content, answer.reasoning):
        _, found = mixing.excess(
            context.query,
            part,
            may_quote=context.may_quote,
            max_mixed=rules.max_mixed,
            max_foreign=rules.max_foreign,
        )
        if found and not context.may_mix:
            return found
    return ""


def style_shift(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    found = style.shift(answer.content)
    return "" if found and (context.may_shift or context.may_quote) else found


def guess(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    """The words by which an answer says that it guesses, or its length if that is below the minimum; else ""."""
    body = answer.reasoning.strip() + "\n" + answer.content.strip()
    if len(body) - 1 < rules.min_reasoning:
        return f"{len(body) - 1} characters of reasoning"
    guesses = words.patterns("guess", rules.words)
    found = guesses.find(body[-GUESS_TAIL:].lower().replace("\u2019", "'"))
    return f"says {found!r}" if found and not guesses.find(words.lowered(context.query)) else ""


GUESS_TAIL = 600  # characters; an earlier guess is part of the reasoning


def inconsistent(answer: Answer, context: AskedFor, rules: ResponseRules) -> str:
    """How the reasoning and the answer differ in their conclusion (Qwen3 report 4.1); else ""."""
    return outcome.inconsistent(answer)


def wrong_answer(answer: Answer, context: AskedFor, rules: ResponseRules) -> str | NoVerdict:
    if not rules.check_answers:
        return ""
    reward = outcome.correctness(context.record, answer)
    if reward is None or isinstance(reward, NoVerdict):
        return reward or ""
    return "" if reward >= RIGHT else f"reward {reward:.2g}"


Rule = Callable[[Answer, AskedFor, ResponseRules], str | NoVerdict]
RULES: tuple[tuple[str, Rule], ...] = (  # cheap and certain ones first; a truncated loop is a loop
    ("empty", empty),
    ("repetition", repetitive),
    ("truncated", truncated),
    ("special-token", special_token),
    ("think-format", think_format),
    ("tool-format", tool_format),
    ("bad-json", bad_json),
    ("harmful", harmful),
    ("off-topic", off_topic),
    ("language-mixing", mixed_language),
    ("style-shift", style_shift),
    ("guess", guess),
    ("inconsistent", inconsistent),
    ("wrong-answer", wrong_answer),
)
FORM = tuple(form.REASONS)
"""The reasons that concern the form of an answer alone."""
