"""Which answers are worth training on: the rules that need no model.

A rule is a function of an Answer, of what its record asks for, and of the thresholds. It returns what is
wrong, or "". RULES has the reason of each. They apply to a record's final turn and to each of its
`responses`. The papers publish no threshold: all are our choice, with the reason beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qvl.curate.rules import outcome, topic
from qvl.curate.rules.drop_responses import Failures
from qvl.errors import UserError
from qvl.record import question
from qvl.reward import RIGHT
from qvl.stage import Drop
from qvl.text import answers, form, mixing, repetition, style, truncation, words
from qvl.text.answers import Answer
from qvl.text.asked_for import AskedFor

THINKING = ("allow", "forbid", "require")


@dataclass(frozen=True, kw_only=True)
class ResponseRules:
    """The thresholds of the rules; called on a record it finds what is wrong with each answer."""

    loop_times: int = repetition.LOOP_TIMES
    """Repetitions in a row that make a loop: refrains and drills end at 4 or 5."""

    loop_chars: int = repetition.LOOP_CHARS
    """Characters of the shortest loop at the end of an answer; before the end twice as many. "ha ha ha"
    is shorter. Rulers, matrices and digits, whose units have no letter, get four times as many."""

    max_repeated: float = repetition.MAX_REPEATED
    """Maximum share of text in lines and sentences that repeat earlier ones. Gopher drops web pages over
    0.2 (arXiv 2112.11446, table A1); worked answers restate, and checks of several options reach 0.3."""

    min_density: float = repetition.MIN_DENSITY
    """Minimum ratio of compressed size to size, for answers of a kilobyte and more: prose has 0.3 and more,
    long lists of boxes 0.15, a loop with a counter 0.05."""

    max_grams: float = repetition.MAX_GRAMS
    """Maximum share of words in repeated 6-grams: text that recurs with another number or name in it.
    Checks of several options reach 0.4."""

    max_mixed: float = mixing.MAX_MIXED
    """Maximum share of words in a script that the query does not use: a term or two without quotation
    marks stay below it."""

    max_foreign: float = mixing.MAX_FOREIGN
    """Maximum share of words in sentences of another language of the same script."""

    min_query_words: int = 5
    """A long answer without any content word of the query is off topic, if the query has this many; 0
    turns the rule off. A translated or terse answer may share few, so there must be several."""

    skip: tuple[str, ...] = ()
    """Reasons for which nothing is dropped."""

    words: str | None = None
    """A folder of lists that replace those of qvl/text/words."""

    thinking: str = "allow"
    """Whether a thought is allowed, forbidden (instruct data) or required (thinking data)."""

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
        return Failures(
            self.judge(turn, context) if turn is not None else None,
            [self.judge(answer, context) for answer in responses],
            turn is not None,
        )

    def judge(self, answer: Answer, context: AskedFor) -> Drop | None:
        """What is wrong with one answer."""
        for reason, rule in RULES:
            detail = "" if reason in self.skip else rule(answer, context, self)
            if detail:
                return Drop(reason, detail)
        return None


def empty(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    if answer.content.strip() or answer.calls:
        return ""
    if answer.finish_reason in truncation.CUT_REASONS or _cut_while_thinking(answer):
        return ""  # it is truncated
    return "a thought without an answer" if answer.reasoning.strip() else "no text"


def truncated(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    text = answer.raw if _cut_while_thinking(answer) else answer.content
    return truncation.cut(text, answer.finish_reason)


def _cut_while_thinking(answer: Answer) -> bool:
    return not answer.content and "<think>" in answer.raw and "</think>" not in answer.raw


def repetitive(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    limits = {
        "loop_times": rules.loop_times,
        "loop_chars": rules.loop_chars,
        "max_repeated": rules.max_repeated,
        "min_density": rules.min_density,
        "max_grams": rules.max_grams,
    }
    parts = (answer.content, answer.reasoning)
    _, found = max(repetition.excess(part, **limits) for part in parts)
    return "" if found and known.may_repeat else found


def special_token(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return form.special_token(answer, known.asked)


def think_format(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return form.think_tags(answer, rules.thinking)


def tool_format(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return form.tool_calls(answer)


def bad_json(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return form.bad_json(answer, known.task, known.form)


def off_topic(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    text = answer.content
    return (
        topic.blind(text, shown=known.shown, lists=rules.words)
        or topic.refused(text, known.asked, rules.words)
        or topic.spilled(text, known.asked, rules.words)
        or _unrelated(answer, known, rules)
    )


def _unrelated(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    """Not judged if the query has an image to be about, or asks for an answer in another language."""
    if known.shown or answer.calls:
        return ""
    found = topic.unrelated(answer.content, question(known.record), rules.min_query_words)
    return "" if found and known.may_mix else found


def harmful(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return topic.harmful(answer.content, known.asked, rules.words)


def mixed_language(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    for part in (answer.content, answer.reasoning):
        _, found = mixing.excess(
            known.asked,
            part,
            may_quote=known.may_quote,
            max_mixed=rules.max_mixed,
            max_foreign=rules.max_foreign,
        )
        if found and not known.may_mix:
            return found
    return ""


def style_shift(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    found = style.shift(answer.content)
    return "" if found and (known.may_shift or known.may_quote) else found


def guess(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    """An answer that says that it guesses, or has less reasoning than the data requires."""
    body = answer.reasoning.strip() + "\n" + answer.content.strip()
    if len(body) - 1 < rules.min_reasoning:
        return f"{len(body) - 1} characters of reasoning"
    guesses = words.patterns("guess", rules.words)
    found = guesses.find(body[-GUESS_TAIL:].lower().replace("\u2019", "'"))
    return f"says {found!r}" if found and not guesses.find(known.asked.lower()) else ""


GUESS_TAIL = 600  # characters; a guess that is taken back later is reasoning


def inconsistent(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    """The thought and the answer differ in their conclusion (Qwen3 report 4.1)."""
    return outcome.inconsistent(answer)


def wrong_answer(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    if not rules.check_answers:
        return ""
    verdict = outcome.correctness(known.record, answer)
    reward = verdict.reward if verdict else None
    return "" if reward is None or reward >= RIGHT else f"reward {reward:.2g}"


Rule = Callable[[Answer, AskedFor, ResponseRules], str]
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
