"""Inject defects into a share of a raw set, for curation to find.

Each kind is a function (record, rng) -> a corrupted copy, or None if the record is not suitable. A
copy does not show its defect, which is recorded separately.
"""

import copy
from collections.abc import Callable
from random import Random

from qvl.record import question, text

VAGUE = [
    *("what about it?", "explain this", "and then?", "more please", "what is it", "help", "why?"),
    *("tell me about that", "do it again", "how about the other one?", "ok and this?"),
]
EMPTY = ["", " ", "\n", "?", "...", "\t \n"]
SENTENCES = [
    "Looking at what was asked, the answer that I arrive at is {}, because",
    "The result is {}, which we can see if we",
    "To answer this I go step by step. First, I note that {} is the",
]
CHINESE = [
    ("The answer 是 {}, because 图片中 shows it 很清楚."),
    ("So 答案应该是 {}, 因为 that is what 我们 can see."),
    ("所以 the result 等于 {}, 这是 the 最后 answer."),
]
LOOPS = [
    "The answer is {}. ",
    "{} is right, so it is {}, and ",
    "Let me check again. I see {}. ",
    "Wait, ",
]


def vague_query(record: dict, rng: Random) -> dict | None:
    """A query that means nothing by itself; never with an image, which could give it a meaning."""
    if not isinstance(record["messages"][0]["content"], str):
        return None
    return _with_query(_one_question(record), rng.choice(VAGUE))


def empty_query(record: dict, rng: Random) -> dict | None:
    """A query without words."""
    return _with_query(_one_question(record), rng.choice(EMPTY))


def wrong_answer(record: dict, rng: Random) -> dict | None:
    """The response ends in an answer other than the reference."""
    right, response = record["answer"], text(record["messages"][-1])
    lines = response.split("\n")
    if not isinstance(right, str) or lines[-1] != right:
        return None
    if right.isdigit():
        wrong = str(int(right) + rng.choice([-3, -2, -1, 1, 2, 3, 10]))
    else:
        wrong = _another(right, rng)
    if wrong is None or wrong.startswith("-"):
        return None
    return _with_response(record, "\n".join([*lines[:-1], wrong]))


def loop(record: dict, rng: Random) -> dict | None:
    """The response repeats one unit many times."""
    unit = rng.choice(LOOPS).replace("{}", _short(record))
    response = text(record["messages"][-1])
    return _with_response(record, response + "\n" + (unit * rng.randint(12, 40)).rstrip())


def cut_answer(record: dict, rng: Random) -> dict | None:
    """The response is truncated."""
    response = text(record["messages"][-1])
    if "=" in response:
        ends = [place + 1 for place, letter in enumerate(response) if letter in "=+"]
        return _with_response(record, response[: rng.choice(ends)])
    if response.startswith("["):
        return _with_response(record, response[: rng.randint(8, len(response) - 4)])
    return _with_response(record, rng.choice(SENTENCES).format(_short(record)))


def mixed_language(record: dict, rng: Random) -> dict | None:
    """Chinese words in the answer to an English question."""
    return _with_response(record, rng.choice(CHINESE).format(_short(record)))


def duplicate(record: dict, rng: Random) -> dict | None:
    """The same record."""
    return copy.deepcopy(record)


def near_duplicate(record: dict, rng: Random) -> dict | None:
    """The same record except for case, spaces or punctuation of the last question."""
    query = question(record)
    changes: list[Callable[[str], str]] = [
        str.upper,
        str.lower,
        lambda words: words.replace(" ", "  "),
        lambda words: words.rstrip("?.") + " ?",
        lambda words: f" {words}\n",
        lambda words: words.rstrip("?.") + "!!",
    ]
    changed = rng.choice(changes)(query)
    return _with_query(record, changed) if changed != query else None


KINDS = {  # name -> function; those in ADDED are added to the set, the others replace a record
    "vague-query": vague_query,
    "empty-query": empty_query,
    "wrong-answer": wrong_answer,
    "loop": loop,
    "cut-answer": cut_answer,
    "mixed-language": mixed_language,
    "duplicate": duplicate,
    "near-duplicate": near_duplicate,
}
ADDED = ("duplicate", "near-duplicate")


def inject(records: list[dict], share: float, rng: Random) -> list[tuple[dict, str, int | None]]:
    """Corrupt a share of the records, with equal numbers of each kind.

    Returns (record, its defect or "", the index of the original of a duplicate or None). No record is
    corrupted twice, or duplicated when corrupted.
    """
    number = round(share * len(records))
    found: list[tuple[dict, str, int | None]] = [(record, "", None) for record in records]
    places = iter(rng.sample(range(len(records)), len(records)))
    done = 0
    for place in places:
        if done == number:
            break
        kind = list(KINDS)[done % len(KINDS)]
        corrupted = KINDS[kind](records[place], rng)
        if corrupted is None:
            continue
        if kind in ADDED:
            found.append((corrupted, kind, place))
        else:
            found[place] = (corrupted, kind, None)
        done += 1
    return found


def _one_question(record: dict) -> dict:
    """A copy with the first question and answer only: an earlier turn could give a meaning."""
    return {**record, "messages": record["messages"][:2]}


def _with_query(record: dict, query: str) -> dict:
    """A copy whose last user turn is `query`."""
    corrupted = copy.deepcopy(record)
    turn = next(turn for turn in reversed(corrupted["messages"]) if turn["role"] == "user")
    if isinstance(turn["content"], str):
        turn["content"] = query
    else:
        turn["content"][-1]["text"] = query
    return corrupted


def _with_response(record: dict, response: str) -> dict:
    """A copy whose last assistant turn is `response`."""
    corrupted = copy.deepcopy(record)
    corrupted["messages"][-1]["content"] = response
    return corrupted


def _short(record: dict) -> str:
    answer = record["answer"]
    return answer if isinstance(answer, str) else answer[0]["label"]


def _another(right: str, rng: Random) -> str | None:
    """Another answer of the same kind, if there is one."""
    from qvl.tiny.generators.drawing import COLOURS, SHAPES
    from qvl.tiny.generators.photographs import PHOTOGRAPHS
    from qvl.tiny.generators.text import NAMES

    for answers in (list(COLOURS), SHAPES, list(PHOTOGRAPHS), NAMES):
        if right in answers:
            return rng.choice([one for one in answers if one != right])
    return None
