"""300 labelled answers to multiple-choice questions in six styles: how many does an extractor read right?

    python tests/peers/choice_set.py            prints the table of docs/evaluation.md

The answers are made here, 50 per style, so that their labels are known: a letter, or none where an answer chooses
nothing. qvl's verifier runs; what the peers' functions gave is stored in PEERS: can_infer of VLMEvalKit
(vlmeval/utils/matching_util.py) and parse_mmmu_multi_choice_response of lmms-eval
(lmms_eval/tasks/_task_utils/mmmu_mcq_utils.py), both called with the options of the question.
"""

import random
from typing import NamedTuple

from qvl.reward.verifiers import choice

PEERS = {
    "VLMEvalKit": {
        "letter": 44, "sentence": 50, "reasoned": 30, "boxed": 34, "chinese": 8, "none": 50,
    },
    "lmms-eval": {
        "letter": 31, "sentence": 50, "reasoned": 50, "boxed": 16, "chinese": 24, "none": 0,
    },
}  # fmt: skip
ANIMALS = ["a red fox", "the grey owl", "a sea otter", "the brown bear", "a green frog", "the swan"]
NUMBERS = ["12 cm", "3.5 kg", "40 %", "7 hours", "0.25 m", "180 degrees"]
PLACES = ["in the kitchen", "near the window", "under the bridge", "on the left", "by the lake"]
STYLES = {
    "letter": [
        "{L}",
        "{L}.",
        "({L})",
        "{L}. {words}",
        "{L}) {words}",
        "**{L}**",
        "{l}",
        "{L}: {words}",
    ],
    "sentence": [
        "The answer is {L}.",
        "The correct option is ({L}) {words}.",
        "Answer: {L}",
        "I would choose {L}, {words}.",
        "It must be option {L}.",
        "My final answer is **{L}. {words}**",
        "Option {L} is correct.",
    ],
    "reasoned": [
        "Option {O} looks likely at first, but the picture shows {words}. So the answer is {L}.",
        "{O} cannot be right because the label is different. {P} is too small. Therefore {L}.",
        "A closer look: the shape rules out {other}.\n\nHence the correct answer is {L}.",
        "Let me check each option.\n- {O}: no, the colour differs.\n- {P}: no, it is too far away.\n- {L}: yes, this matches.\n\nAnswer: {L}",
        "Comparing {other} and {words}, the second one fits the image better, so I pick {L}.",
    ],
    "boxed": [
        "\\boxed{{{L}}}",
        "Thus the answer is $\\boxed{{\\text{{{L}}}}}$.",
        "<answer>{L}</answer>",
        "The options {O} and {P} fail. $$\\boxed{{{L}}}$$",
        "**Final Answer**\n\n\\boxed{{{L}. \\text{{{words}}}}}",
        "```\n{L}\n```",
    ],
    "chinese": [
        "答案是{L}。",
        "选{L}",
        "正确答案：{L}. {words}",
        "选项{O}不对，所以应选{L}。",
        "综上所述，本题选择{L}项。",
        "因为图中没有{other}，故答案为（{L}）。",
    ],
    "none": [
        "I cannot tell from the image.",
        "It could be {L} or {O}.",
        "The image shows several animals in a field at dusk.",
        "Options: A. {a} B. {b} C. {c} D. {d}",
        "Sorry, but I can't help with that.",
        "Either option {O} or option {L} would be possible here.",
    ],
}


class Answer(NamedTuple):
    style: str
    options: dict[str, str]
    content: str
    label: str | None


def answers() -> list[Answer]:
    """The 300 answers, the same each time."""
    draw = random.Random("choice set")
    made = []
    for style, templates in STYLES.items():
        for number in range(50):
            words = draw.sample(draw.choice([ANIMALS, NUMBERS, PLACES]), 4)
            options = dict(zip("ABCD", words, strict=True))
            letter, other, third = draw.sample("ABCD", 3)
            content = templates[number % len(templates)].format(
                L=letter, l=letter.lower(), O=other, P=third, words=options[letter],
                other=options[other], a=words[0], b=words[1], c=words[2], d=words[3],
            )  # fmt: skip
            made.append(Answer(style, options, content, None if style == "none" else letter))
    return made


def question(options: dict[str, str]) -> str:
    return "What is shown?\n" + "\n".join(f"{mark}. {text}" for mark, text in options.items())


def read(answer: Answer) -> str | None:
    """The letter that qvl's verifier reads; None for none."""
    record = {"messages": [{"role": "user", "content": question(answer.options)}]}
    for letter in "ABCD":
        if choice.score({**record, "answer": letter}, {"content": answer.content}):
            return letter
    return None


def right_by_style(extract) -> dict[str, int]:
    """Style -> how many of its answers `extract` reads as labelled."""
    counts = dict.fromkeys(STYLES, 0)
    for each in answers():
        counts[each.style] += extract(each) == each.label
    return counts


def table() -> str:
    rows = {"qvl": right_by_style(read), **PEERS}
    lines = [f"| reader | {' | '.join(STYLES)} | all of 300 |", "| --- " * 8 + "|"]
    for name, counts in rows.items():
        cells = [str(counts[style]) for style in STYLES]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(counts.values())} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
