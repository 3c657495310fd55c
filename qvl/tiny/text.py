"""Tasks without an image: sums and comparisons.

The keys of the test split are never asked in training: pairs, digits, or orders of people.
"""

from random import Random

from qvl.tiny.example import Sample, Turn, drawn

LARGEST = 99
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"]
ASKED = ["tallest", "shortest", "second tallest"]


def add(rng: Random, split: str) -> Sample:
    """The sum of two numbers up to 99, said at once."""
    one, other = drawn(split, lambda: (rng.randint(0, LARGEST), rng.randint(0, LARGEST)))
    answer = str(one + other)
    return Sample(("add", one, other), [Turn(f"What is {one} + {other}?", answer, answer)])


def sum_up(rng: Random, split: str, terms: int = 5) -> Sample:
    """The sum of one-digit numbers, one step at a time; the last line of the answer is the sum."""
    return Sample(*_sum(rng, split, terms))


def mixed(rng: Random, split: str, terms: int = 6, share: float = 0.35) -> Sample:
    """The same of six numbers, with the steps in a share of the answers only, else at once.

    Answering at once is mostly wrong: a policy trained on this has a choice to learn. The shares
    are our choice.
    """
    key, (turn,) = _sum(rng, split, terms)
    if rng.random() >= share:
        turn = turn._replace(reasoning="")
    return Sample(("mixed", *key), [turn])


def _sum(rng: Random, split: str, terms: int) -> tuple[tuple, list[Turn]]:
    digits = drawn(split, lambda: tuple(rng.randint(1, 9) for _ in range(terms)))
    total, steps = digits[0], []
    for digit in digits[1:]:
        steps.append(f"{total}+{digit}={total + digit}")
        total += digit
    question = f"Sum up {' '.join(map(str, digits))}."
    return ("sum", *digits), [Turn(question, str(total), str(total), " ".join(steps))]


def logic(rng: Random, split: str, people: int = 3) -> Sample:
    """Who is tallest, shortest or second tallest, of people compared in pairs."""

    def draw() -> tuple:
        order = tuple(rng.sample(range(people - 1), people - 1))
        who = tuple(rng.sample(NAMES, people))
        return who, order, rng.randrange(len(ASKED)), rng.random() < 0.5

    who, order, asked, shorter = key = drawn(split, draw)
    facts = [
        f"{who[i + 1]} is shorter than {who[i]}."
        if shorter
        else f"{who[i]} is taller than {who[i + 1]}."
        for i in order
    ]
    answer = (who[0], who[-1], who[1])[asked]
    question = f"{' '.join(facts)} Who is the {ASKED[asked]}?"
    return Sample(("logic", *key), [Turn(question, answer, answer)])
