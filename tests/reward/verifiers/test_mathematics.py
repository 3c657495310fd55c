r"""The math verifier: by value, whatever the form; half an answer, a list of guesses and a bomb gain nothing."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qvl.errors import UserError
from qvl.reward import verdict
from qvl.reward.verifiers import mathematics

EQUAL = [
    (r"\frac{1}{2}", r"so \boxed{0.5}"),
    (r"\frac{1}{2}", r"\boxed{\dfrac12}"),
    (r"\frac{\sqrt{3}}{2}", r"$\frac{\sqrt{3}}{2}$"),
    (r"\frac{a}{b}", r"\boxed{\frac{a}{b}}"),
    ("50%", r"\boxed{\frac12}"),
    ("1,234", r"\boxed{1234}"),
    ("1234", "1,234"),
    ("12", "The answer is 12."),
    ("12", "it is 3, no, 12"),
    (r"5\text{ cm}", r"\boxed{5\,\text{cm}}"),
    (r"\{1,2\}", r"\boxed{2, 1}"),
    (r"x=1 \text{ or } x=2", r"\boxed{x=2, x=1}"),
    ("(1,2)", r"\boxed{(1, 2)}"),
    ("[0,1)", r"\boxed{\left[0, 1\right)}"),
    ("(x-1)^2", r"\boxed{x^2-2x+1}"),
    ("x=3", r"\boxed{3}"),
    ("-3", "−3"),
    (["7", "8"], "8"),
    (42, "42"),
]
DIFFERENT = [
    ("2", r"\boxed{1, 2, 3}"),
    ("2", "1,2"),
    ("(1,2)", r"\boxed{[1,2]}"),
    ("1,234", "1,234,5"),
    (r"\sqrt{2}", r"\boxed{1.414}"),
    ("3", r"\boxed{3 \text{ or } 4}"),
    ("3", r"\boxed{x}"),
    ("4", "<think>4</think> 5"),
    ("4", "<think>it is 4"),
    ("4", ""),
    ("4", r"\boxed{}"),
    ("4", r"\boxed{\frac{}{}}"),
    ("4", r"\boxed{((((4}"),
    ("4", "4 " * 3000),
]
CURRENCY = [
    ("42", r"\boxed{\$42}", 1),
    ("42", r"\boxed{42\$}", 1),
    ("42", r"\boxed{\text{\$}42}", 1),
    ("42", r"\boxed{US\$42}", 1),
    ("42", r"\boxed{£42}", 1),
    ("42", r"\boxed{\yen 42}", 1),
    ("42", "The cost is $42.", 1),
    (r"\$42", r"\boxed{42\text{ dollars}}", 1),
    ("1234.50", r"\boxed{\$1{,}234.50}", 1),
    ("42", r"\boxed{-\$42}", 0),
    (r"\$42", r"\boxed{\text{€}42}", 0),
    (r"\$1,000", r"\boxed{1000}", 1),
    ("42", r"\boxed{\text{Rs. }42}", 1),
    ("42", r"The total is **\$42**.", 1),
]
DISPLAYS = [
    ("x+1", "So\n$$\nx+1\n$$", 1),
    ("x+1", "So\n\\[\nx\n+1\n\\]", 1),
    ("y=2", "So\n\\begin{align*}\nx&=1\\\\\ny&=2\n\\end{align*}", 1),
    ("x+1", "$$\\begin{aligned}a&=x\\\\ &=x+1\\end{aligned}$$", 1),
    ("x+1", "So\n```\nx+1\n```", 1),
    ("x+1", "So\n\n**x+1**\n\n---", 1),
    (r"\frac12", "Thus\n\\begin{equation}\n\\frac{1}{2}\n\\end{equation}", 1),
    ("4", "It is 4.\n$$\n5\n$$", 0),
]
PROSE = [
    ("2", "the charge is +2", 1),
    ("-2", "the charge is +2", 0),
    ("x+1", "**Answer:** x+1", 1),
    ("21", "The answer is **21**.", 1),
    ("21", "答案是21。", 1),
    ("21", "所以，答案为 $21$。", 1),
    ("x+1", "*Answer*: `x+1`", 1),
    ("3\\cos(2t)", "The result is 3cos(2t).", 1),
    ("\\{1,2\\}", "Hence $x=1$ or $x=2$.", 1),
    ("5", "There are 5 apples.", 1),
    ("5", "There are 5 apples and 3 pears.", 0),
]
PLAIN = [
    ("sin(x)", r"\boxed{\sin x}", 1),
    ("sin(x)", r"\boxed{\cos x}", 0),
    ("sqrt(2)/2", r"\boxed{\frac{\sqrt2}{2}}", 1),
    ("e**(-x)", r"\boxed{e^{-x}}", 1),
    ("ln(x)/x", r"\boxed{\frac{\ln x}{x}}", 1),
    ("cos(x)^2", r"\boxed{1-\sin^2 x}", 1),
    ("3*x*y**2", "3xy^2", 1),
    (r"\log_{10} 2", "log10(2)", 1),
    ("log(x,2)", r"\boxed{\log_2 x}", 1),
    ("2*pi*r", "2πr", 1),
    ("pi/4", r"\boxed{\arctan 1}", 1),
    ("-oo", r"\boxed{-\infty}", 1),
    (r"2\sqrt{2}", "2√2", 1),
    ("7/2", "3 1/2", 1),
    (r"\frac13", r"\boxed{0.\overline{3}}", 1),
]
WORDS = [
    (r"\text{odd}", r"\boxed{\text{odd}}", 1),
    (r"\text{odd}", "The function is odd.", 1),
    (r"\text{odd}", r"\boxed{\text{even}}", 0),
    ("odd", "odd or even", 0),
    ("even", "The function is not even.", 0),
    ("no", "The answer is **no**.", 1),
    ("no", "yes", 0),
    ("no", "on", 0),
    (r"\text{parabola}", "The curve is a parabola.", 1),
    ("DNE", r"\boxed{\text{does not exist}}", 1),
    ("DNE", "END", 0),
    ("no solution", r"\boxed{\varnothing}", 1),
    (r"\varnothing", r"\boxed{\text{no solution}}", 1),
    (r"\varnothing", r"\boxed{\emptyset}", 1),
    ("Evelyn", r"\boxed{\text{Evelyn}}", 1),
    (r"\mathbb{R}", "all real numbers", 1),
]
COMMAS = [
    ("1.5", "1,5", 1),
    ("1.5", r"\boxed{1{,}5}", 1),
    ("3,07", "3.07", 1),
    ("0,111", "0.111", 1),
    ("1234.5", r"\boxed{1.234,5}", 1),
    ("1,5", r"\boxed{5, 1}", 1),
    ("1,5", r"\boxed{1.5}", 0),
    (r"2,5\text{ cm}", "2.5", 1),
    (r"12,5\%", "0.125", 1),
    ("(1,5;2,5)", r"\boxed{(1.5, 2.5)}", 1),
    ("1234567", r"\boxed{1\,234\,567}", 1),
    ("1234567", "1\u2009234\u2009567", 1),
    ("(1,234)", r"\boxed{1234}", 0),
]
SMALL = [
    (r"1.6\times10^{-19}", r"\boxed{1.6e-19}", 1),
    (r"1.6\times10^{-19}", r"\boxed{9.1\times10^{-31}}", 0),
    (r"\frac{1}{20!}", r"\boxed{\frac{1}{21!}}", 0),
    (r"\frac{1}{2019!}", r"\boxed{\frac{1}{2017!}}", 0),
    ("-10^{-9}", r"\boxed{10^{-9}}", 0),
    ("0", r"\boxed{10^{-80}}", 0),
    ("0", r"\boxed{\sin\pi}", 1),
    ("10^{100}", r"\boxed{10^{100}+1}", 0),
    ("e^{-300}", r"\boxed{e^{-301}}", 0),
    (r"e^{\pi\sqrt{163}}", r"\boxed{262537412640768744}", 0),
    (r"\frac{1}{7}", r"\boxed{0.142857}", 1),
    (r"\frac{1}{7}", r"\boxed{0.142858}", 0),
    (r"\pi", r"\boxed{3.141592}", 0),
]
WHOLE = [  # what stands after a command counts
    (r"2-\frac{1}{\mathrm{e}}", r"\boxed{2}", 0),
    (r"2-\frac{1}{\mathrm{e}}", r"\boxed{2-\frac1e}", 1),
    (r"1,2,\ldots,m", r"\boxed{1,3,\ldots,2m-1}", 0),
    (r"1+2+\cdots+n", r"\boxed{1+2}", 0),
    (r"2\operatorname{sgn}(x)", r"\boxed{2}", 0),
    (r"n\operatorname{Li}(x)", r"\boxed{n}", 0),
    (r"3\mathbb{Z}", r"\boxed{3}", 0),
    (r"\sum_{k=0}^{n} F_k F_{n-k}", r"\boxed{\sum_{k=0}^{n} F_{n-k} F_k}", 1),
    (r"\sum_{k=0}^{n} F_k F_{n-k}", r"\boxed{\sum_{k=1}^{n} F_{n-k} F_k}", 0),
    ("5", r"\boxed{5 \foo 6}", 0),
]
LETTERS = [
    ("6-6c", r"\boxed{6(1-c)}", 1),
    ("5c", r"\boxed{5d}", 0),
    ("2l", r"\boxed{2}", 0),
    ("x^2+i", r"\boxed{x^2}", 0),
    ("a+b-g", r"\boxed{a+b}", 0),
    ("mgh", r"\boxed{hgm}", 1),
    (r"5\text{ m}", r"\boxed{5\text{ cm}}", 0),
    (r"5\text{ m}", r"\boxed{5}", 1),
]
ROOTS = [
    (r"\sqrt{1/n}", r"\boxed{n^{-1/2}}", 1),
    (r"\sqrt{\frac{a}{b}}", r"\boxed{\frac{\sqrt{ab}}{b}}", 1),
    (r"\sqrt{a^2 b}", r"\boxed{a\sqrt{b}}", 1),
    (r"\sqrt{a^2 b}", r"\boxed{b\sqrt{a}}", 0),
    (r"\sqrt[3]{x^3y}", r"\boxed{x\sqrt[3]{y}}", 1),
    ("|x|", r"\boxed{x}", 0),
    ("|x|", r"\boxed{\sqrt{x^2}}", 1),
]
CHAINS = [
    ("42", r"\boxed{7=x=42}", 0),
    ("42", r"\boxed{x=42=y}", 0),
    ("42", r"\boxed{6\cdot7=42}", 1),
    ("42", r"\boxed{42\ne43}", 0),
    ("11", r"\boxed{x=5+5+1=7=11}", 0),
    (r"\frac13", r"\boxed{x=\frac13\approx0.333}", 1),
    ("4", r"\boxed{3\approx4}", 0),
    ("42", r"\boxed{42}, \boxed{43}", 0),
    ("42", r"\boxed{42} or \boxed{43}", 0),
    ("1,2", r"\boxed{1} and \boxed{2}", 1),
    ("42", "\\boxed{42}\n\n\\boxed{42}", 1),
    ("x=3", r"\boxed{y=3}", 0),
]
KINDS = [
    *CURRENCY, *DISPLAYS, *PROSE, *PLAIN, *WORDS, *COMMAS,
    *SMALL, *WHOLE, *LETTERS, *ROOTS, *CHAINS,
]  # fmt: skip
BOMBS = [
    "9^{9^{9^{9}}}",
    "100000000!",
    "3000000!",
    "(x+1)^{99999}",
    "((((9!)!)!)!)!",
    r"\sin(9^{9^{9}})",
    r"\binom{99999999999}{5555555555}",
    r"\sqrt[99999999]{9^{99999999}}",
    r"\gcd(9^{9999},3^{9999})",
    r"\log_{2}(3^{99999})",
    r"\cosh(10^{30})",
    "99999999!!",
    r"\lfloor 10^{4000}\pi \rfloor",
    "3" + "!" * 50,
    r"\pm1" * 300,
    "+".join(rf"\sqrt{{{number}x}}" for number in range(120)),
    r"\frac{1}{0}",
    r"\tan(\pi/2)",
    "(" * 900 + "1" + ")" * 900,
    "{" * 900 + "1" + "}" * 900,
    "-" * 1900 + "1",
    "2^" * 900 + "2",
]


@pytest.mark.parametrize(("gold", "content"), EQUAL)
def test_equal_values_score_one(gold, content):
    assert mathematics.score({"answer": gold}, {"content": content}) == 1


@pytest.mark.parametrize(("gold", "content"), DIFFERENT)
def test_other_values_lists_and_nothing_score_none(gold, content):
    assert mathematics.score({"answer": gold}, {"content": content}) == 0


@pytest.mark.parametrize(("gold", "content", "expected"), KINDS)
def test_each_kind_of_answer_is_worth_what_it_says(gold, content, expected):
    assert mathematics.score({"answer": gold}, {"content": content}) == expected


@pytest.mark.parametrize("gold", [{"a": 1}, True, [["3"]], r"\frac{1}{", r"\foo{x}"])
def test_a_reference_that_is_not_read_is_no_reference(gold):
    for content in ("3", "", str(gold)):
        with pytest.raises(UserError, match="answer: "):
            mathematics.score({"answer": gold}, {"content": content})


@pytest.fixture
def without_garbage_of_others():
    """A process that has run other tests holds a million objects, and searching them takes half a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.usefixtures("without_garbage_of_others")
def test_an_answer_that_is_not_evaluable_is_worth_nothing_at_once(bomb):
    for gold in ("42", "x", r"\frac{1}{2}", r"\{1,2\}"):
        started = time.process_time()
        judged = verdict.judge({"task": "math", "answer": gold}, {"content": rf"\boxed{{{bomb}}}"})
        assert (judged.status, judged.reward) == ("ok", 0.0), judged.detail
        assert time.process_time() - started < 0.5


@pytest.mark.parametrize("gold", ["9^{9^{9^{9}}}", "100000000!", "(x+1)^{99999}", r"2^{200000}"])
def test_a_reference_of_any_size_is_equal_to_itself(gold):
    assert mathematics.score({"answer": gold}, {"content": rf"\boxed{{{gold}}}"}) == 1


@pytest.mark.parametrize(
    ("first", "second", "content"),
    [
        ("41", "42", "**41** 42"),
        ("41", "42", "It is **41**, or 42."),
        ("41", "42", "41 $42$"),
        ("41", "42", "$41$ $42$"),
        ("41", "42", r"\boxed{41} 42"),
        ("41", "42", "<answer>41</answer> \\boxed{42}"),
        ("even", "odd", "**even** is odd"),
        ("even", "odd", "It is even, it is odd"),
        ("1.5", "15", "1,5"),
        ("1234", "1.234", "1,234"),
        (r"\frac{1}{2}", "50", r"\boxed{\frac{1}{2}=50}"),
    ],
)
def test_nobody_answers_twice(first, second, content):
    paid = [mathematics.score({"answer": gold}, {"content": content}) for gold in (first, second)]
    assert sum(paid) <= 1


def test_threads_may_compare_at_once():
    pairs = [(rf"\frac{{{n}}}{{7}}", rf"\boxed{{\frac{{{2 * n}}}{{14}}}}") for n in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        scores = pool.map(
            lambda pair: mathematics.score({"answer": pair[0]}, {"content": pair[1]}), pairs
        )
        assert list(scores) == [1.0] * len(pairs)


@pytest.mark.parametrize("answer", ["it is 5m²", "it's 5 m", "5 m^2", r"\boxed{5 m}", "so 5 V."])
def test_a_unit_of_one_letter_after_the_only_number_is_a_unit(answer):
    """As in lighteval's own suite."""
    assert mathematics.score({"answer": "5"}, {"content": answer}) == 1


@pytest.mark.parametrize(
    "answer",
    ["3 or 5 m", "3m, 5m", "x = 3 + 5s", "4 and 5 m", "5 x", "x^5 m", "more than 5", "less than 5 m",
     "不到5", "other than 5"],
)  # fmt: skip
def test_a_letter_in_an_expression_is_no_unit_and_a_bound_is_no_value(answer):
    assert mathematics.score({"answer": "5"}, {"content": answer}) == 0
