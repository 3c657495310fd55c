"""Which answers are worth learning: the rules that need no model.

A rule is a function of an Answer, what is known of its record, and the thresholds; it returns what is
wrong or "". RULES names the reason of each. A record's final turn and each of its `responses` are
looked at alike. The papers publish no threshold; all of them are our choice, and each says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from qvl.curate.rules import outcome, topic
from qvl.curate.rules.drop_responses import Failures
from qvl.errors import UserError
from qvl.record import media_kind, question
from qvl.reward import RIGHT
from qvl.stage import Drop
from qvl.text import answers, form, function_words, repetition, scripts, style, truncation, words
from qvl.text.answers import Answer

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

    max_grams: float = 0.5
    """Largest share of words within runs of six that stood before: what recurs with another number or
    name in it. Checks of several options reach 0.4."""

    max_mixed: float = 0.05
    """Largest share of words in a script that the query does not use: a term or two that no quotation
    marks surround stay under it."""

    max_foreign: float = 0.08
    """Largest share of words in sentences of another language of the same script."""

    min_query_words: int = 5
    """A long answer that takes up none of the content words of a query with so many is off topic; 0 is
    off. A translated or terse answer may share few, so there must be several."""

    skip: tuple[str, ...] = ()
    """Reasons for which nothing is dropped."""

    words: str | None = None
    """A folder of lists that stand in for those of qvl/text/words."""

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
        names = [name for name, _ in RULES]
        for name in self.skip:
            if name not in names:
                raise UserError(f"--skip {name}: the reasons are {', '.join(names)}")
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

    def judge(self, answer: Answer, context: "AskedFor") -> Drop | None:
        """What is wrong with one answer."""
        for reason, rule in RULES:
            detail = "" if reason in self.skip else rule(answer, context, self)
            if detail:
                return Drop(reason, detail)
        return None


class AskedFor:
    """What the rules know of the record around an answer; most is told only when a rule asks."""

    def __init__(self, record: dict, lists: str | None = None) -> None:
        self.record, self.lists = record, lists
        self.asked = answers.asked(record)  # all that user and system said
        self.task: str = record.get("task") or ""
        self.shown = media_kind(record) != "text"

    @cached_property
    def form(self) -> str:
        """All that may ask for a form of the answer: what was asked, and the format prompt."""
        return f"{self.asked}\n{self.record.get('format_prompt') or ''}"

    @cached_property
    def may_quote(self) -> bool:
        """The answer may hold what is written in an image."""
        return self.task in READING_TASKS or (self.shown and self._question_has("reading"))

    @cached_property
    def may_repeat(self) -> bool:
        """Repetition was asked for."""
        return self._question_has("repeat")

    @cached_property
    def may_mix(self) -> bool:
        """Another language was asked for, or about."""
        return bool(words.patterns("languages", self.lists).find(self.asked.lower()))

    @cached_property
    def may_shift(self) -> bool:
        """Another voice was asked for."""
        return bool(words.patterns("casual", self.lists).find(self.asked.lower()))

    def _question_has(self, name: str) -> bool:
        return bool(words.patterns(name, self.lists).find(question(self.record).lower()))


def empty(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    if answer.content.strip() or answer.calls:
        return ""
    if answer.finish_reason in truncation.CUT_REASONS or _cut_while_thinking(answer):
        return ""  # the truncation is the cause
    return "a thought without an answer" if answer.reasoning.strip() else "no text"


def truncated(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    text = answer.raw if _cut_while_thinking(answer) else answer.content
    return truncation.cut(text, answer.finish_reason)


def _cut_while_thinking(answer: Answer) -> bool:
    return not answer.content and "<think>" in answer.raw and "</think>" not in answer.raw


def repetitive(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    _, found = max(told_repetition(part, rules) for part in (answer.content, answer.reasoning))
    return "" if found and known.may_repeat else found


def told_repetition(text: str, rules: ResponseRules) -> tuple[float, str]:
    """How bad the repetition in a text is, from 0 to 1, and what it is: 1 for a loop, else the share
    of the text that stood before; 0 and "" where it is under the thresholds."""
    for loop in repetition.loops(text, shortest=rules.loop_chars, times=rules.loop_times):
        at_end = loop.start + loop.length >= len(text.rstrip()) - len(loop.unit)
        drawn = 1 if loop.wordy else 4 if RULER.issuperset(loop.unit) else 2
        least = rules.loop_chars * (1 if at_end else 2) * drawn
        if loop.length >= least:
            return 1.0, f"{loop.times:.0f} times {loop.unit.strip()[:40]!r}"
    share, segment = repetition.repeated_share(text)
    if share > rules.max_repeated:
        return share, f"{share:.2f} of the text stood before, such as {segment[:40]!r}"
    grams = repetition.repeated_grams(text)
    if grams > rules.max_grams:
        return grams, f"{grams:.2f} of the words are in runs that stood before"
    if len(text) >= SHORTEST_DENSE and text.lstrip()[:1] not in repetition.MARKUP:
        dense = repetition.density(text)
        if dense < rules.min_density:
            return 1.0, f"compresses to {dense:.3f}"
    return 0.0, ""


RULER = frozenset(
    "-=_*#.,~+|:<>()[]{} \t\n0123456789"
)  # what lines, tables and matrices are drawn with
SHORTEST_DENSE = 1000  # characters; less does not compress to 0.08 even in a loop


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
    """Not told where an image is what the query is about, nor where the answer is in another language."""
    if known.shown or answer.calls:
        return ""
    found = topic.unrelated(answer.content, question(known.record), rules.min_query_words)
    return "" if found and known.may_mix else found


def harmful(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    return topic.harmful(answer.content, known.asked, rules.words)


def mixed_language(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    for part in (answer.content, answer.reasoning):
        _, found = told_mixing(known.asked, part, rules, may_quote=known.may_quote)
        if found and not known.may_mix:
            return found
    return ""


def told_mixing(
    asked: str, part: str, rules: ResponseRules, *, may_quote: bool
) -> tuple[float, str]:
    """The share of a text's words that are in another language than what was asked, and what they
    are; 0 and "" where it is under the thresholds."""
    share, sample = 0.0, ""
    if not (part.isascii() and asked.isascii()):
        share, sample = scripts.mixture(asked, part, may_quote=may_quote)
    if share <= rules.max_mixed:
        share, sample = function_words.foreign(asked, part)
        if share <= rules.max_foreign or may_quote:
            return 0.0, ""
    return share, f"{share:.2f} of the words, such as {sample!r}"


def style_shift(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    found = style.shift(answer.content)
    return "" if found and (known.may_shift or known.may_quote) else found


def guess(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    """An answer that says that it guesses, or one without reasoning where the data is to have it."""
    body = answer.reasoning.strip() + "\n" + answer.content.strip()
    if len(body) - 1 < rules.min_reasoning:
        return f"{len(body) - 1} characters of reasoning"
    guesses = words.patterns("guess", rules.words)
    found = guesses.find(body[-GUESS_TAIL:].lower().replace("\u2019", "'"))
    return f"says {found!r}" if found and not guesses.find(known.asked.lower()) else ""


GUESS_TAIL = 600  # characters; a guess that is taken back later is reasoning


def inconsistent(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    """The thought concludes one thing and the answer another (Qwen3 report 4.1)."""
    return outcome.inconsistent(answer)


def wrong_answer(answer: Answer, known: AskedFor, rules: ResponseRules) -> str:
    if not rules.check_answers:
        return ""
    verdict = outcome.correctness(known.record, answer)
    reward = verdict.reward if verdict else None
    return "" if reward is None or reward >= RIGHT else f"reward {reward:.2g}"


Rule = Callable[[Answer, AskedFor, ResponseRules], str]
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
    ("harmful", harmful),
    ("off-topic", off_topic),
    ("language-mixing", mixed_language),
    ("style-shift", style_shift),
    ("guess", guess),
    ("inconsistent", inconsistent),
    ("wrong-answer", wrong_answer),
)
FORM = ("special-token", "think-format", "tool-format", "bad-json")
"""The reasons for which the form of an answer is wrong, whatever it says."""
