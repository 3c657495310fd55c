"""A tag that an answer writes about is text; a tag that it uses is a tag, whatever backticks stand near."""

import pytest

from qvl.curate.rules.responses import ResponseRules
from qvl.reward.penalties.malformed import penalty
from qvl.text import thinking, written_about

ABOUT = [
    "The model writes its reasoning after `<think>` and its answer after `</think>`.",
    "`</think>` ends the reasoning. The text after it is the answer.",
    "Wrap the reasoning in `<think>...</think>` and then give the answer.",
    "Wrap the reasoning in ``<think>a ` b</think>`` and then give the answer.",
    "用`<think>`开始思考，用`</think>`结束。",
    "The parser looks for '<think>' and '</think>' in the text.",
    'The parser looks for "<think>" in the text, and no more.',
    "The format is:\n```\n<think>\nthe reasoning\n</think>\nthe answer\n```\nNo more is needed.",
    "~~~text\n<think>\nthe reasoning\n</think>\n~~~\nThis is the format.",
    "```jinja\n{{ '<|im_start|>assistant' }}<think>\n```\nThe template opens the reasoning.",
    "A call stands in `<tool_call>` and `</tool_call>` tags.",
    'A call looks like `<tool_call>{"name": ...}</tool_call>` in the text.',
    "A call looks like this:\n```\n<tool_call>\n{a JSON object}\n</tool_call>\n```\nThat is all.",
    "The token `a <|im_end|>` ends a turn, and `x[INST] y` begins one in Llama.",
    "```\n<|im_start|>user\nHi<|im_end|>\n```\nThis is the template of a turn.",
]
USED = [  # content, reason
    ("The answer is `4` <think>or five?</think> yes", "think-format"),
    ("<think>a</think>`x`<think>b</think>4", "think-format"),
    ("<think>a tick ` here</think>The `answer` is 4. <think>b</think>", "think-format"),
    ("Call it `now`: <tool_call>weather(Oslo)</tool_call> `x`", "tool-format"),
    ("It is `sunny` </tool_call> there.", "tool-format"),
    ("The `answer` is four.<|im_end|>", "special-token"),
]


def record(content):
    asked = {"role": "user", "content": "How do models mark reasoning and calls?"}
    return {"messages": [asked, {"role": "assistant", "content": content}]}


@pytest.mark.parametrize("content", ABOUT)
def test_an_answer_about_tags_is_sound(content):
    assert thinking.split(content) == ("", content)
    verdict = ResponseRules(thinking="forbid", skip=("language-mixing",))(record(content)).turn
    assert verdict is None, verdict
    assert penalty(record(content), {"content": content}).value == 0.0
    with_thought = {"content": content, "reasoning_content": f"I write:\n{content}"}
    assert penalty(record(content), with_thought).value == 0.0


@pytest.mark.parametrize("content", ABOUT)
def test_a_thought_about_tags_ends_at_its_own(content):
    text = f"<think>\n{content}\n</think>\n\n{content}"
    assert thinking.split(text) == (content, content)
    assert ResponseRules(thinking="require", skip=("language-mixing",))(record(text)).turn is None


@pytest.mark.parametrize(("content", "reason"), USED)
def test_a_tag_in_use_beside_code_is_malformed(content, reason):
    verdict = ResponseRules()(record(content)).turn
    assert verdict
    assert verdict.reason == reason
    assert penalty(record(content), {"content": content}).value == -1.0


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("a tick ` here</think>\n\nuse `x`", "a tick ` here", "use `x`"),
        ("a tick ` here</think>use `x`", "a tick ` here", "use `x`"),
        ("run `x`</think>use `y`", "run `x`", "use `y`"),
        ("```python\nx = 1\n</think>\n\n```\nx\n```", "```python\nx = 1", "```\nx\n```"),
        ("<think>`<think>` opens</think>b", "`<think>` opens", "b"),
        ("<think>I end it with `</think>` now", "I end it with `</think>` now", ""),
    ],
)
def test_backticks_do_not_hide_a_tag_in_use(text, thought, answer):
    assert thinking.split(text) == (thought, answer)


def test_a_thought_that_is_cut_after_a_written_tag_is_truncated():
    verdict = ResponseRules()(record("<think>I end it with `</think>` now")).turn
    assert verdict
    assert verdict.reason == "truncated"


def test_dots_keep_the_length():
    for content in (*ABOUT, *(content for content, _ in USED)):
        assert len(written_about.without_tags(content)) == len(content)
