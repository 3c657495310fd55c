"""Which answers are worth learning: the rules that need no model.

A rule is a function of an Answer, what is known of its record, and the thresholds; it returns what is
wrong or "". RULES names the reason of each. A record's final turn and each of its `responses` are
looked at alike. The papers publish no threshold; all of them are our choice, and each says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from qvl.curate import answers, completeness, form, outcome, repetition, scripts, words
from qvl.curate.answers import Answer
from qvl.curate.sift import Verdicts
from qvl.errors import UserError
from qvl.record import images, question, videos
from qvl.stage import Drop

THINKING = ("allow", "forbid", "require")
READING_TASKS = ("ocr", "document", "translation")  # their answers quote any language


@dataclass(frozen=True, kw_only=True)
class ResponseRules:
    """The thresholds of the rules; called on a record it says what is wrong with each answer."""

    loop_times: int = 6
    """A unit that comes so often in a row is a loop: refrains and drills end at 4 or 5."""

    loop_chars: int = 64
    """And its stretch is at least so long at the end of an answer, twice that before: "ha ha ha"
    is shorter. Rulers, matrices and digits, in which no unit has a letter, get four times that."""

    max_repeated: float = 0.4
    """Largest share of text in lines and sentences that stood before. Gopher drops web pages over
    0.2 (arXiv 2112.11446, table A1); worked answers restate, and checks of several options reach 0.3."""

    min_density: float = 0.08
    """Least compressed size over size, for answers of a kilobyte and more: prose has 0.3 and more,
    long lists of boxes 0.15, a loop with a counter 0.05."""

    max_mixed: float = 0.05
    """Largest share of words in a script that the query does not use: a term or two that no quotation
    marks surround stay under it."""

    thinking: str = "allow"
    """What a thought is: allowed, forbidden (instruct data), required (thinking data)."""

    min_reasoning: int = 0
    """Least number of characters before the final answer, reasoning included, else it is a guess;
    0 is off, as a short question is answered without."""

    check_answers: bool = True
    """Drop what the verifier of the task finds wrong, where the record has a reference answer."""

    def __post_init__(self) -> None:
        if self.thinking not in THINKING:
            raise UserError(f"--thinking {self.thinking}: say {', '.join(THINKING)}")

    def __call__(self, record: dict) -> Verdicts:
        turn, responses = answers.of_record(record)
        context = known(record) if turn is not None or responses else None
        if context is None:
            return Verdicts(None, [], False)
        return Verdicts(
            self.judge(turn, context) if turn is not None else None,
            [self.judge(answer, context) for answer in responses],
            turn is not None,
        )

    def judge(self, answer: Answer, context: "Known") -> Drop | None:
        """What is wrong with one answer."""
        for reason, rule in RULES:
            detail = rule(answer, context, self)
            if detail:
                return Drop(reason, detail)
        return None


class Known(NamedTuple):
    """What the rules know of the record around an answer."""

    record: dict
    asked: str  # all that user and system said
    task: str
    may_quote: bool  # the answer may hold what is written in an image
    may_repeat: bool  # repetition was asked for


def known(record: dict) -> Known:
    asked = answers.asked(record)
    task = record.get("task") or ""
    lowered = question(record).lower()
    seen = bool(images(record) or videos(record))
    return Known(
        record=record,
        asked=asked,
        task=task,
        may_quote=task in READING_TASKS or (seen and bool(words.patterns("reading").find(lowered))),
        may_repeat=bool(words.patterns("repeat").find(lowered)),
    )


def empty(answer: Answer, known: Known, rules: ResponseRules) -> str:
    if answer.content.strip() or answer.calls:
        return ""
    if answer.finish_reason in completeness.CUT_REASONS:
        return ""  # the truncation is the cause
    return "a thought without an answer" if answer.reasoning.strip() else "no text"


def truncated(answer: Answer, known: Known, rules: ResponseRules) -> str:
    return completeness.cut(answer.content, answer.finish_reason)


def repetitive(answer: Answer, known: Known, rules: ResponseRules) -> str:
    if known.may_repeat:
        return ""
    return _repetitive(answer.content, rules) or _repetitive(answer.reasoning, rules)


def _repetitive(text: str, rules: ResponseRules) -> str:
    for loop in repetition.loops(text, shortest=rules.loop_chars, times=rules.loop_times):
        at_end = loop.start + loop.length >= len(text.rstrip()) - len(loop.unit)
        least = rules.loop_chars * (1 if at_end else 2) * (1 if loop.wordy else 4)
        if loop.length >= least:
            return f"{loop.times:.0f} times {loop.unit.strip()[:40]!r}"
    share, segment = repetition.repeated_share(text)
    if share > rules.max_repeated:
        return f"{share:.2f} of the text stood before, such as {segment[:40]!r}"
    if len(text) >= SHORTEST_DENSE and text.lstrip()[:1] not in repetition.MARKUP:
        dense = repetition.density(text)
        return f"compresses to {dense:.3f}" if dense < rules.min_density else ""
    return ""


SHORTEST_DENSE = 1000  # characters; less does not compress to 0.08 even in a loop


def special_token(answer: Answer, known: Known, rules: ResponseRules) -> str:
    return form.special_token(answer, known.asked)


def think_format(answer: Answer, known: Known, rules: ResponseRules) -> str:
    return form.think_tags(answer, rules.thinking)


def tool_format(answer: Answer, known: Known, rules: ResponseRules) -> str:
    return form.tool_calls(answer)


def bad_json(answer: Answer, known: Known, rules: ResponseRules) -> str:
    return form.bad_json(answer, known.task, known.asked)


def mixed_language(answer: Answer, known: Known, rules: ResponseRules) -> str:
    for part in (answer.content, answer.reasoning):
        share, sample = scripts.mixture(known.asked, part, may_quote=known.may_quote)
        if share > rules.max_mixed:
            return f"{share:.2f} of the words, such as {sample!r}"
    return ""


def guess(answer: Answer, known: Known, rules: ResponseRules) -> str:
    """No reasoning to speak of, or one that says that it guesses: for chains of thought only."""
    if not rules.min_reasoning:
        return ""
    body = answer.reasoning.strip() + answer.content.strip()
    if len(body) < rules.min_reasoning:
        return f"{len(body)} characters of reasoning"
    found = words.patterns("guess").find(body[-GUESS_TAIL:].lower())
    return f"says {found!r}" if found else ""


GUESS_TAIL = 600  # characters; a guess that is taken back later is reasoning


def inconsistent(answer: Answer, known: Known, rules: ResponseRules) -> str:
    """The thought concludes one thing and the answer another (Qwen3 report 4.1)."""
    return outcome.inconsistent(answer)


def wrong_answer(answer: Answer, known: Known, rules: ResponseRules) -> str:
    if not rules.check_answers:
        return ""
    reward = outcome.correctness(known.record, answer)
    return "" if reward is None or reward >= outcome.RIGHT else f"reward {reward:.2g}"


Rule = Callable[[Answer, Known, ResponseRules], str]
RULES: tuple[
    tuple[str, Rule], ...
] = (  # the cheap and certain first; a loop that was cut is a loop
    ("empty", empty),
    ("repetition", repetitive),
    ("truncated", truncated),
    ("special-token", special_token),
    ("think-format", think_format),
    ("tool-format", tool_format),
    ("bad-json", bad_json),
    ("language-mixing", mixed_language),
    ("guess", guess),
    ("inconsistent", inconsistent),
    ("wrong-answer", wrong_answer),
)
