"""The choice verifier: a letter that is plainly chosen counts, whatever the form; anything else chooses nothing."""

import pytest

from qvl.reward.verdict import judge
from qvl.reward.verifiers import choice
from qvl.reward.verifiers.choice import UNDECIDED, letters

ONE = "Which one barks?\nA. cat\nB. dog\nC. cow"
SEVERAL = "Which are mammals? Several may be right.\nA. cat\nB. trout\nC. cow"
B = [
    "The correct answer is b.",
    "b) dog",
    "(b) dog",
    "Therefore B.",
    "So B",
    "Ans: B",
    "Final: B",
    "B, since it barks.",
    "B because it barks.",
    "B - dog",
    "I think B.",
    "B, not C",
    "答案：b",
    "B",
    "B.",
    "(B)",
    "[B]",
    "B)",
    "B:",
    "b.",
    "B dog",
    "B: dog",
    "B) dog",
    "B. dog",
    "Option B",
    "option b",
    "Choice B",
    "Thus, B.",
    "Hence (B).",
    "It's B",
    "It is B.",
    "It must be B.",
    "I choose B.",
    "I'd say B.",
    "My answer is B",
    "my final answer: B",
    "The answer is option B, dog.",
    "The answer is B – dog",
    "B — dog",
    "B (dog)",
    "The answer is dog (B).",
    "The best choice is B.",
    "B is right.",
    "B is the answer.",
    "B is correct",
    "Clearly B.",
    "Answer B",
    "So the answer is (b).",
    "Since dogs bark, B.",
    "Because it barks, the answer is B.",
    "Answer: B, because option C cannot hold.",
    "The answer is B because A and C are wrong.",
    "A is wrong, C is wrong, so B.",
    "Not A but B.",
    "The answer is B rather than C.",
    "B instead of C",
    "Neither A nor C; B.",
    "Eliminate A and C. B.",
    "答案是B，因为C选项不成立。",
    "选B，C选项错误",
    "故选B。",
    "应选B",
    "B项正确",
    "选项B",
    "答案为Ｂ",
    "因为狗会叫，所以选B。",
    "正确答案是 B。",
    "B。",
    "不是A，是B",
    "排除A和C，选B",
    "答案选b",
    "**B**, as it barks",
    "***B***",
    "`B`",
    "B\n",
    "<answer>b</answer>",
    "<answer>B. dog</answer>",
    "\\boxed{b}",
    "\\boxed{\\text{(B) dog}}",
    "\\boxed{\\textbf{B}}",
    "The answer is B.\n\nA. cat\nB. dog\nC. cow",
    "A. cat - wrong\nB. dog - correct\nC. cow - wrong",
    "A. cat ✗\nB. dog ✓\nC. cow ✗",
    "I would go with B",
    "Let me think.\nB",
    "I believe the answer is B",
    "I believe it is B",
    "so it's B",
    "The letter is B",
    "the correct option is b",
    "The answer: b",
    "Answer is b",
    "correct answer: B) dog",
    "Overall, B",
    "In conclusion, B.",
    "Final answer: **B) dog**",
    "B, the dog",
    "B; it barks",
    "Dog, so B.",
    "The dog (B) barks.",
    "Only B is correct.",
    "Definitely B",
    "B!",
    "Must be B.",
    "B, C is wrong",
    "B, while A and C are not",
    "B. cat",
    "Answer: B (option C fails).",
    "The answer is B, not option C",
    "Option C cannot hold, so B.",
    "答案为B，C错误",
    "A和C都不对，选B",
    "B，不是C",
    "所以是B",
]
NOT_B = [
    "C, not B",
    "A dog is seen.",
    "A or B",
    "A cat",
    "A. cat\nB. dog\nC. cow",
    "A. cat B. dog C. cow",
    "A, B, C",
    "Answer: C, because option B cannot hold.",
    "Answer: C, since B is wrong",
    "The answer is not B",
    "B is wrong.",
    "不选B",
    "答案是C，因为B选项不成立。",
    "Either B or C",
    "B/C",
    "B or C",
    "A. dog",
    "C, B is wrong",
    "C, since A and B are wrong",
    "I am sure about bees",
    "Plan B is seen",
    "be",
    "The answer is A because the answer is B.",
    "A. The answer is B.",
    "Options: A. cat, B. dog, C. cow",
    "B and C",
    "Not B",
    "I",
    "A: the answer is B",
    "The answer is either B",
    "All of the above",
    "A or maybe B",
    "B? C?",
    "It could be B or C",
    "A. cat\n\nB. dog\n\nC. cow",
    "- A. cat\n- B. dog\n- C. cow",
]
A_AND_C = [
    "A AND C",
    "A and C are correct.",
    "Both A and C are correct, while B is not.",
    "Options A and C",
    "a, c",
    "A. cat\nC. cow",
    "AC",
    "CA",
    "A,C",
    "A, C",
    "A & C",
    "A + C",
    "A; C",
    "A、C",
    "A和C",
    "A C",
    "(A), (C)",
    "(A) and (C)",
    "[A, C]",
    "A and C.",
    "a and c",
    "ac",
    "a,c.",
    "The answers are A and C.",
    "The correct options are A and C",
    "The correct options are:\nA. cat\nC. cow",
    "- A. cat\n- C. cow",
    "A. cat, C. cow",
    "A. cat; C. cow",
    "Answer: A, C",
    "Both A and C",
    "A and C, not B",
    "A and C because cats and cows are mammals.",
    "\\boxed{A} and \\boxed{C}",
    "\\boxed{A,C}",
    "\\boxed{\\text{A and C}}",
    "答案是AC",
    "答案：A、C",
    "选A和C",
    "A、C正确，B错误",
    "故选AC。",
    "The answer is A and C, since trout is a fish",
    "A plus C",
    "option A and option C",
    "A as well as C",
    "**A** and **C**",
    "**A**, **C**",
    "So A and C.",
    "I think A and C.",
    "Therefore, A and C are the correct answers.",
    "A) cat and C) cow",
    "A. cat ✓\nB. trout ✗\nC. cow ✓",
    "<answer>A, C</answer>",
    "<answer>A. cat\nC. cow</answer>",
    "Letters A, C",
    "Choices: A, C",
]
NOT_A_AND_C = [
    "A, not C",
    "A or C",
    "A/C",
    "A",
    "C",
    "ABC",
    "A, B, C",
    "A. cat\nB. trout\nC. cow",
    "A, A, C",
    "BD",
    "AB",
    "A and B",
    "not A and C",
    "A and C are wrong",
    "cat and cow",
]


def chosen(question, answer, content):
    record = {
        "task": "choice",
        "answer": answer,
        "messages": [{"role": "user", "content": question}],
    }
    found = judge(record, {"content": content})
    assert found.status == "ok", found
    return found.reward


@pytest.mark.parametrize("content", B)
def test_one_letter_is_chosen(content):
    assert chosen(ONE, "B", content) == 1


@pytest.mark.parametrize("content", NOT_B)
def test_another_letter_or_none_is_chosen(content):
    assert chosen(ONE, "B", content) == 0


@pytest.mark.parametrize("content", A_AND_C)
def test_a_set_of_letters_is_chosen(content):
    assert chosen(SEVERAL, "AC", content) == 1


@pytest.mark.parametrize("content", NOT_A_AND_C)
def test_another_set_of_letters_or_none_is_chosen(content):
    assert chosen(SEVERAL, "AC", content) == 0


def test_a_reason_that_names_another_letter_pays_for_neither_side():
    for content in ("Answer: C, because option D cannot hold.", "答案是C，因为选项D不成立。"):
        assert chosen("Pick one.", "C", content) == 1
        assert chosen("Pick one.", "D", content) == 0


def test_the_options_said_again_choose_none_of_them():
    again = "A. cat\nB. dog\nC. cow"
    for letter in "ABC":
        assert chosen(ONE, letter, again) == chosen("Which?", letter, again) == 0
        assert chosen(ONE, letter, f"{again}\n\nAnswer: {letter}") == 1
        assert chosen(ONE, letter, f"The answer is {letter}.\n\n{again}") == 1


def test_all_options_are_chosen_only_where_they_are_announced():
    again = "A. cat\nB. trout\nC. cow"
    assert chosen(SEVERAL, "ABC", again) == 0
    assert chosen(SEVERAL, "ABC", f"The correct options are:\n{again}") == 1


def test_a_reason_that_concludes_otherwise_leaves_the_choice_open():
    assert letters("B, because the answer is C") == UNDECIDED


def test_a_megabyte_of_letters_takes_no_time():
    import time

    for flood in (
        "A and " * 3000,
        "not A, " * 2500,
        "A is " * 4000,
        "option " * 2500,
        "因为A，" * 4000,
        "(" * 19_000,
    ):
        started = time.process_time()
        letters(flood)
        assert time.process_time() - started < 1, flood[:10]


def test_letters_with_others_beside_them_choose_nothing():
    record = {"id": "r", "task": "choice", "answer": "AC", "messages": []}
    for text in ("The answer is AC or BD.", "AC, BD", "Answer: AC and BD", "AC (or BD)"):
        assert judge(record, {"content": text}).reward == 0
    for text in ("AC", "The answer is A and C.", "Answer: AC, not BD."):
        assert judge(record, {"content": text}).reward == 1
    for text in ("B (or A)", "The answer is B (or A)"):
        assert judge({**record, "answer": "B"}, {"content": text}).reward == 0


def test_options_said_again_after_their_name_choose_nothing():
    """As seen on the labelled answers of tests/peers: the first of them was taken for a choice."""
    question = "Which?\nA. a cat\nB. a dog\nC. a cow"
    record = {"messages": [{"role": "user", "content": question}], "answer": "A"}
    said = "Options: A. a cat B. a dog C. a cow"
    assert choice.score(record, {"content": said}) == 0
    assert choice.score(record, {"content": "Of the options: A. a cat"}) == 1


@pytest.mark.parametrize(
    ("content", "letter"),
    [
        ("It's not A because it doesn't bark, therefore I think it's B", "B"),
        ("The answer is for sure D, it can't be A or B", "D"),
        ("The answer is most likely option C.", "C"),
        ("I am not sure, because A and B both fit", None),
    ],
)
def test_a_conclusion_behind_a_reason_or_an_adverb_counts(content, letter):
    """As in lighteval's own suite."""
    assert choice.extract({"content": content}) == letter
