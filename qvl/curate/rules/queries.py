"""Which queries are worth a response, by rules that need no model.

A rule is a function of a Query and of the thresholds, and returns what is wrong, or "". RULES has the
reason of each. The rules aim at precision and leave unclear cases to a judge. The papers publish no rule and
no threshold; all are our choice.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from qvl.record import MEDIA, text
from qvl.stage import Drop
from qvl.text import vague, words


@dataclass(frozen=True, kw_only=True)
class QueryRules:
    """The thresholds of the rules; called on a record it returns a Drop, or None to keep it."""

    max_chars: int = 1_000_000
    """Maximum characters before the answer: about 256K tokens of English, the whole context."""

    need_answer: bool = False
    """Drop queries without a reference answer, whose responses no verifier can reward."""

    one_question: bool = False
    """Drop queries of several questions: no single answer verifies them (Qwen3 report 4.1)."""

    def __call__(self, record: dict) -> Drop | None:
        query = query_of(record)
        for reason, rule in RULES:
            detail = rule(query, self)
            if detail:
                return Drop(reason, detail)
        return None


class Query(NamedTuple):
    """The parts of a record that the rules read."""

    turns: list[str]  # the texts of the user turns
    last: str  # the last of them, stripped
    alone: bool  # without earlier text that a pronoun could refer to
    images: int
    videos: int
    chars: int  # of all turns before the answer
    answered: bool  # has a reference answer


def query_of(record: dict) -> Query:
    """The query of a record."""
    turns, context, chars = [], 0, 0
    counts = dict.fromkeys(MEDIA, 0)
    messages = record.get("messages") or []
    for message in messages:
        content = text(message)
        role = message.get("role")
        if role == "user":
            turns.append(content)
        elif role == "system":
            context += len(content)
        chars += len(content)
        if isinstance(message.get("content"), list):
            for part in message["content"]:
                if part.get("type") in counts:
                    counts[part["type"]] += 1
    if messages and messages[-1].get("role") == "assistant":
        chars -= len(content)
    return Query(
        turns=turns,
        last=turns[-1].strip() if turns else "",
        alone=len(turns) == 1 and context < CONTEXT_CHARS,
        images=counts["image"],
        videos=counts["video"],
        chars=chars,
        answered=record.get("answer") is not None,
    )


CONTEXT_CHARS = 400  # a longer system text may contain the passage that the query is about
BOILERPLATE = 3  # boilerplate phrases that make a text a web page; real queries have one or two


def no_query(query: Query, rules: QueryRules) -> str:
    return "" if query.turns else "no user turn"


def empty(query: Query, rules: QueryRules) -> str:
    if query.last:
        return ""
    return "media without words" if query.images or query.videos else "the last user turn is empty"


def no_substance(query: Query, rules: QueryRules) -> str:
    """What a query without a request is: a greeting, a placeholder, an address, random keys; else ""."""
    for turn in query.turns:  # one turn with a request is enough to keep the conversation
        detail = _substance(turn, query.images + query.videos > 0)
        if not detail:
            return ""
    return detail


def _substance(turn: str, has_media: bool) -> str:
    if len(turn) > SHORT:
        return _page(turn)
    if turn.isascii() and len(turn) > LONGEST_PHRASE and "://" not in turn and "www." not in turn:
        return ""
    bare = words.clean(ADDRESS.sub(" ", turn))
    if not bare:
        return "an address alone" if ADDRESS.search(turn) else "no word in it"
    if bare in words.entries("nothing"):
        return f"only {bare!r}"
    letters = bare.replace(" ", "")
    if len(letters) >= MASHED and len(set(letters)) <= 2 and letters.isalpha():
        return f"one or two letters repeated: {letters[:20]!r}"
    if not has_media and NUMBER.fullmatch(turn):
        return "only a number"
    return ""


SHORT = 200  # characters; a longer text is not a greeting, but may be a web page
LONGEST_PHRASE = max(map(len, words.lines("nothing"))) + 20  # with its punctuation
MASHED = 5  # letters; "haha" may be the subject of a question, "hahaha" and "aaaaa" are not
ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
NUMBER = re.compile(r"\W*\d+(?:[.,]\d+)?[\s.!?]*")
QUESTION = re.compile("[?？؟]")


def _page(turn: str) -> str:
    if QUESTION.search(turn):
        return ""
    lowered = turn.lower()
    found = [phrase for phrase in words.lines("boilerplate") if phrase in lowered]
    return f"a web page: {', '.join(found[:3])}" if len(found) >= BOILERPLATE else ""


def points_at_nothing(query: Query, rules: QueryRules) -> str:
    """The pronoun of a query that has nothing to refer to: no image, no earlier turn, no noun; else ""."""
    if not query.alone:
        return ""
    if vague.refers_back(query.last):
        return "refers to an earlier turn, but there is none"
    if query.images or query.videos:
        wanted = vague.open_request(query.last) if query.answered else ""
        return f"{wanted!r} requests more than the reference answer contains" if wanted else ""
    pointed = vague.empty(query.last)
    return f"{pointed!r} refers to nothing" if pointed else ""


def missing_image(query: Query, rules: QueryRules) -> str:
    """The reference to an image that the query does not have; else ""."""
    if query.videos:
        return ""
    if query.images:
        numbers = [int(a or b or c) for a, b, c in NUMBERED.findall(query.last)]
        most = max(numbers, default=0)
        return f"image {most} of {query.images}" if most > query.images else ""
    if any(map(len, query.turns[:-1])):  # an earlier turn may describe it
        return ""
    lowered = query.last.lower()
    found = words.patterns("image").find(lowered)
    if not found or words.patterns("about_images").find(lowered):
        return ""
    return f"says {found.strip()[:60]!r}, but there is no image"


# Picture N is how Qwen's template names the images ("Figure 2" may be in the image).
NUMBERED = re.compile(r"\bPicture (\d{1,2})\b|\bImage (\d{1,2})\b|第(\d{1,2})[张幅]图")


def denies_image(query: Query, rules: QueryRules) -> str:
    """The words that deny the image that the query has; else ""."""
    if not query.images:
        return ""
    found = words.patterns("no_image").find(query.last.lower())
    return f"says {found!r}, but there is an image" if found else ""


def too_long(query: Query, rules: QueryRules) -> str:
    return f"{query.chars} characters" if query.chars > rules.max_chars else ""


def no_answer(query: Query, rules: QueryRules) -> str:
    return "no reference answer" if rules.need_answer and not query.answered else ""


def several_questions(query: Query, rules: QueryRules) -> str:
    if not rules.one_question:
        return ""
    parts = len(PART.findall(query.last))
    marks = len(QUESTION.findall(query.last))
    return f"{max(parts, marks)} questions" if parts >= 2 or marks >= 2 else ""


# "(1) ... (2) ..." or "a) ... b) ..." at the start of a line or sentence: sub-questions. Answer
# options have capital letters, so they do not count.
PART = re.compile(r"(?:^|[\n.?;:？。；：])\s*[(（]?(?:[1-9]|[a-h]|i{1,3}|iv)[)）]\s*\w")

RULES: tuple[tuple[str, Callable[[Query, QueryRules], str]], ...] = (
    ("no-query", no_query),
    ("empty", empty),
    ("no-substance", no_substance),
    ("vague", points_at_nothing),
    ("missing-image", missing_image),
    ("denies-image", denies_image),
    ("too-long", too_long),
    ("no-answer", no_answer),
    ("several-questions", several_questions),
)
