"""Tasks without an image: sums and comparisons.

Training never has a key of the test split: a pair of numbers, digits, or an order of people.
"""

from random import Random

from qvl.tiny.generators.example import Example, Turn, drawn

LARGEST = 99
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"]
COMPARED = ["tallest", "shortest", "second tallest"]


def add(rng: Random, split: str) -> Example:
    """The sum of two numbers up to 99, without steps."""
    one, other = drawn(split, lambda: (rng.randint(0, LARGEST), rng.randint(0, LARGEST)))
    answer = str(one + other)
    return Example(("add", one, other), [Turn(f"What is {one} + {other}?", answer, answer)])


def sum_up(rng: Random, split: str, terms: int = 5) -> Example:
    """The sum of one-digit numbers step by step; the last line of the answer is the sum."""
    return Example(*_sum(rng, split, terms))


def long_sum(rng: Random, split: str, terms: int = 8) -> Example:
    """The same of more numbers than a model that knows sum_up was taught."""
    key, turns = _sum(rng, split, terms)
    return Example(("long", *key), turns)


def mixed(rng: Random, split: str, terms: int = 6, share: float = 0.35) -> Example:
    """The same of six numbers, but only a share of the answers has the steps.

    Answers without steps are mostly wrong, so a policy trained on this can learn to choose. The share
    is our choice.
    """
    key, (turn,) = _sum(rng, split, terms)
    if rng.random() >= share:
        turn = turn._replace(reasoning="")
    return Example(("mixed", *key), [turn])


HABITS = {  # of a bad style -> its share and response; the share and forms are our choice
    "language": (0.25, "So 答案应该是 {0}, 因为 that is what 我们 can see.\n{0}"),
    "repetition": (0.2, "I see {0}. " * 8 + "\n{0}"),
    "format": (0.15, "{0}</tool_call>\n{0}"),
}


def habits(rng: Random, split: str, terms: int = 4) -> Example:
    """The same of four numbers, with bad habits: some answers mix languages, repeat themselves, or
    close a call of a tool that none opened. All are right, so only a penalty tells them from the others."""
    key, (turn,) = _sum(rng, split, terms)
    drawn_share = rng.random()
    for share, form in HABITS.values():
        if 0 <= drawn_share < share:
            turn = turn._replace(content=form.format(turn.answer))
        drawn_share -= share
    return Example(("habits", *key), [turn])


def _sum(rng: Random, split: str, terms: int) -> tuple[tuple, list[Turn]]:
    digits = drawn(split, lambda: tuple(rng.randint(1, 9) for _ in range(terms)))
    total, steps = digits[0], []
    for digit in digits[1:]:
        steps.append(f"{total}+{digit}={total + digit}")
        total += digit
    question = f"Sum up {' '.join(map(str, digits))}."
    return ("sum", *digits), [Turn(question, str(total), str(total), " ".join(steps))]


def logic(rng: Random, split: str, people: int = 3) -> Example:
    """Who is tallest, shortest or second tallest among people compared in pairs."""

    def draw() -> tuple:
        order = tuple(rng.sample(range(people - 1), people - 1))
        who = tuple(rng.sample(NAMES, people))
        return who, order, rng.randrange(len(COMPARED)), rng.random() < 0.5

    who, order, rank, shorter = key = drawn(split, draw)
    facts = [
        f"{who[i + 1]} is shorter than {who[i]}."
        if shorter
        else f"{who[i]} is taller than {who[i + 1]}."
        for i in order
    ]
    answer = (who[0], who[-1], who[1])[rank]
    question = f"{' '.join(facts)} Who is the {COMPARED[rank]}?"
    return Example(("logic", *key), [Turn(question, answer, answer)])
