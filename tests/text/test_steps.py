"""Steps of one shape are no repetition; loops with a counter are."""

import itertools

import pytest

from qvl.reward.penalties.repetition import penalty
from qvl.text import repetition, steps


def lines(shape, numbers):
    return "\n".join(map(shape.format, numbers, (2**n for n in numbers)))


def prime(number):
    divisor = next((d for d in range(2, number) if number % d == 0), None)
    if divisor:
        return f"{number} is not a prime number, because it is divisible by {divisor}."
    return f"{number} is a prime number, because no prime up to its root divides it."


def collatz(number):
    while number != 1:
        even = number % 2 == 0
        after = number // 2 if even else 3 * number + 1
        how = "even, so divide it by 2" if even else "odd, so multiply it by 3 and add 1"
        yield f"{number} is {how}. We get {after}."
        number = after


TRUTH = "When p is {}, q is {} and r is {}, the whole formula p and q and r is {}."
STEPS = {
    "en": lines("Step {}: Multiply the previous value by 2. We get {}.", range(1, 7)),
    "zh": lines("第{}步：把上一步的结果乘以二，得到新的结果{}。", range(1, 21)),
    "ja": lines("{}回目には前の値に二を掛けるので、値は{}になります。", range(1, 9)),
    "ko": lines("{}단계: 이전 값에 2를 곱하면 새로운 값은 {}이 됩니다.", range(1, 9)),
    "ru": lines("Шаг {}: умножаем предыдущее значение на 2 и получаем {}.", range(1, 9)),
    "hi": lines("चरण {}: पिछले मान को 2 से गुणा करने पर हमें {} मिलता है।", range(1, 9)),
    "ar": lines("الخطوة {}: نضرب القيمة السابقة في 2 فنحصل على {}.", range(1, 9)),
    "th": lines("ขั้นที่ {}: คูณค่าก่อนหน้าด้วย 2 จะได้ค่าใหม่เป็น {}", range(1, 9)),
    "powers": lines("Now we raise 2 to the power {0}. We get 2^{0} = {1}.", range(5, 11)),
    "two sentences": " ".join(f"Multiply by 2 again. We get {2**n}." for n in range(1, 14)),
    "two lines": "\n".join(f"Multiply by 2 again.\nWe get {2**n}." for n in range(1, 14)),
    "interest for 60 years": "\n".join(
        f"After year {n}, the balance is multiplied by 1.05, so it is now {1.05**n:.4f} euros."
        for n in range(1, 61)
    ),
    "primes": "\n".join(map(prime, range(90, 101))),
    "primes in a paragraph": " ".join(map(prime, range(90, 101))),
    "Collatz": " ".join(collatz(27)),
    "truth table": "\n".join(
        TRUTH.format(*row, all(row)) for row in itertools.product((True, False), repeat=3)
    ),
}
LOOPS = {
    "a counter": lines("Step {}: let us look at this part of the problem again.", range(1, 9)),
    "a counter and the same result": lines(
        "Step {}: 17 times 24 is 408, so let me check that once more.", range(1, 15)
    ),
    "two counters": "\n".join(
        f"From {n} we go on to {n + 1}, and check that it holds as before." for n in range(1, 15)
    ),
    "a counter in a paragraph": " ".join(
        f"Wait, let me check the number {n} again, as I may be wrong." for n in range(7, 40)
    ),
    "a counter in Chinese": lines(
        "第{}步：我们再把这个问题的所有条件从头到尾检查一遍。", range(9, 40)
    ),
    "a drawn number": "\n".join(
        f"Step {n}: we look at part {n * 37 % 97} of the problem and see that it holds as before."
        for n in range(1, 31)
    ),
    "the same": "The cat sat. " * 60,
    "two sentences": "Multiply by 2 again. We get 4, as we said before. " * 5,
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_with_other_numbers_are_no_repetition(name):
    assert len(STEPS[name]) >= repetition.SHORTEST_REPEATED
    assert repetition.excess(STEPS[name]) == (0.0, "")
    assert penalty({"messages": []}, {"content": STEPS[name]}).value == 0.0


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_stays_a_repetition_whatever_it_counts(name):
    share, detail = repetition.excess(LOOPS[name])
    assert share > 0.4 and detail
    assert -1 <= penalty({"messages": []}, {"content": LOOPS[name]}).value < -0.4


def test_steps_before_a_loop_do_not_hide_it():
    text = STEPS["en"] + "\n" + LOOPS["a counter in a paragraph"]
    assert repetition.excess(text)[1]


def test_a_step_that_is_said_twice_counts_once():
    parts = steps.parts(STEPS["powers"] + "\n" + STEPS["powers"])
    assert [part.step for part in parts] == [True] * (len(parts) // 2) + [False] * (len(parts) // 2)


def test_the_parts_are_the_whole_text():
    for text in (
        *STEPS.values(),
        *LOOPS.values(),
        "",
        " ",
        "...\n\nOne. Two.\n3.14 and more",
        "。a",
    ):
        assert "".join(part.text for part in steps.parts(text)).strip() == text.strip()
