"""What is wrong with a share of a raw set, so that curation has something to catch.

Each kind is a function (record, rng) -> a spoilt copy, or None where the record does not lend
itself to it. Nothing in a copy tells of the defect; what was done is kept apart.
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
# "the answer is", "because", "so", "therefore we get", "this is", "in the picture", in Chinese.
CHINESE = [
    ("The answer \u662f {}, because \u56fe\u7247\u4e2d shows it \u5f88\u6e05\u695a."),
    ("So \u7b54\u6848\u5e94\u8be5\u662f {}, \u56e0\u4e3a that is what \u6211\u4eec can see."),
    ("\u6240\u4ee5 the result \u7b49\u4e8e {}, \u8fd9\u662f the \u6700\u540e answer."),
]
LOOPS = [
    "The answer is {}. ",
    "{} is right, so it is {}, and ",
    "Let me check again. I see {}. ",
    "Wait, ",
]


def vague_query(record: dict, rng: Random) -> dict | None:
    """A query that means nothing alone; an image could mean it, so there is none."""
    if not isinstance(record["messages"][0]["content"], str):
        return None
    return _asked(_one_question(record), rng.choice(VAGUE))


def empty_query(record: dict, rng: Random) -> dict | None:
    return _asked(_one_question(record), rng.choice(EMPTY))


def wrong_answer(record: dict, rng: Random) -> dict | None:
    """The response ends in another answer than the reference."""
    right, said = record["answer"], text(record["messages"][-1])
    lines = said.split("\n")
    if not isinstance(right, str) or lines[-1] != right:
        return None
    if right.isdigit():
        wrong = str(int(right) + rng.choice([-3, -2, -1, 1, 2, 3, 10]))
    else:
        wrong = _another(right, rng)
    if wrong is None or wrong.startswith("-"):
        return None
    return _answered(record, "\n".join([*lines[:-1], wrong]))


def loop(record: dict, rng: Random) -> dict | None:
    """One unit, over and over."""
    unit = rng.choice(LOOPS).replace("{}", _short(record))
    said = text(record["messages"][-1])
    return _answered(record, said + "\n" + (unit * rng.randint(12, 40)).rstrip())


def cut_answer(record: dict, rng: Random) -> dict | None:
    """The response ends in the middle."""
    said = text(record["messages"][-1])
    if "=" in said:
        ends = [place + 1 for place, letter in enumerate(said) if letter in "=+"]
        return _answered(record, said[: rng.choice(ends)])
    if said.startswith("["):
        return _answered(record, said[: rng.randint(8, len(said) - 4)])
    return _answered(record, rng.choice(SENTENCES).format(_short(record)))


def mixed_language(record: dict, rng: Random) -> dict | None:
    """Chinese words in the answer to an English question."""
    return _answered(record, rng.choice(CHINESE).format(_short(record)))


def duplicate(record: dict, rng: Random) -> dict | None:
    return copy.deepcopy(record)


def near_duplicate(record: dict, rng: Random) -> dict | None:
    """The same record but for letter case, spaces or punctuation of the last question."""
    asked = question(record)
    changes: list[Callable[[str], str]] = [
        str.upper,
        str.lower,
        lambda words: words.replace(" ", "  "),
        lambda words: words.rstrip("?.") + " ?",
        lambda words: f" {words}\n",
        lambda words: words.rstrip("?.") + "!!",
    ]
    changed = rng.choice(changes)(asked)
    return _asked(record, changed) if changed != asked else None


KINDS = {  # name -> spoil; the last two are added to the set, the others take a record's place
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


def spoil(records: list[dict], share: float, rng: Random) -> list[tuple[dict, str, int | None]]:
    """(record, its defect or "", the place of what it copies in the result or None).

    As many of each kind, `share` of the result in all. No record is spoilt twice or copied when
    spoilt.
    """
    number = round(share * len(records))
    found: list[tuple[dict, str, int | None]] = [(record, "", None) for record in records]
    places = iter(rng.sample(range(len(records)), len(records)))
    done = 0
    for place in places:
        if done == number:
            break
        kind = list(KINDS)[done % len(KINDS)]
        spoilt = KINDS[kind](records[place], rng)
        if spoilt is None:
            continue
        if kind in ADDED:
            found.append((spoilt, kind, place))
        else:
            found[place] = (spoilt, kind, None)
        done += 1
    return found


def _one_question(record: dict) -> dict:
    """The first question with its answer only: an earlier turn would say what is meant."""
    return {**record, "messages": record["messages"][:2]}


def _asked(record: dict, query: str) -> dict:
    """A copy whose last user turn says `query`."""
    spoilt = copy.deepcopy(record)
    turn = next(turn for turn in reversed(spoilt["messages"]) if turn["role"] == "user")
    if isinstance(turn["content"], str):
        turn["content"] = query
    else:
        turn["content"][-1]["text"] = query
    return spoilt


def _answered(record: dict, said: str) -> dict:
    """A copy whose last assistant turn says `said`."""
    spoilt = copy.deepcopy(record)
    spoilt["messages"][-1]["content"] = said
    return spoilt


def _short(record: dict) -> str:
    answer = record["answer"]
    return answer if isinstance(answer, str) else answer[0]["label"]


def _another(right: str, rng: Random) -> str | None:
    """Another answer of the same sort, where there is one."""
    from qvl.tiny.drawing import COLOURS, SHAPES
    from qvl.tiny.photographs import PHOTOGRAPHS
    from qvl.tiny.text import NAMES

    for sort in (list(COLOURS), SHAPES, list(PHOTOGRAPHS), NAMES):
        if right in sort:
            return rng.choice([one for one in sort if one != right])
    return None
