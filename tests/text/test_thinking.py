"""All readers of a text take the same part of it for thinking."""

import pytest

from qvl.client.chat import responses
from qvl.formats.context import Context
from qvl.formats.parts.thinking import extract
from qvl.reward.reading.extract import final
from qvl.text import answers, thinking

CASES = [  # text, thought, answer
    ("<think>\na\n</think>\n\nb", "a", "b"),
    ("  <think>a</think>b", "a", "b"),
    ("a\n</think>\n\nb", "a", "b"),
    ("a</think>b", "a", "b"),
    ("a</think>b</think>c", "a", "b</think>c"),
    ("<think>\na", "a", ""),
    ("a", "", "a"),
    ("", "", ""),
]


@pytest.mark.parametrize(("text", "thought", "answer"), CASES)
def test_a_text_is_split_in_the_same_place_by_every_reader(text, thought, answer):
    assert thinking.split(text) == (thought, answer)
    read = answers.of_response({"content": text})
    assert (read.reasoning, read.content) == (thought, answer)
    (sampled,) = responses({"choices": [{"message": {"content": text}}]}, {})
    assert (sampled.get("reasoning_content", ""), sampled["content"]) == (thought, answer)
    assert thinking.answer_text({"content": text}) == answer
    assert final({"content": text}) == answer


def test_a_text_that_was_truncated_while_thinking_is_all_thinking():
    assert thinking.split("a", truncated=True) == ("a", "")
    assert thinking.split("a</think>b", truncated=True) == ("a", "b")


def test_what_an_engine_has_split_is_not_split_again():
    response = {"content": "the tag </think> ends it", "reasoning_content": "a"}
    assert thinking.answer_text(response) == "the tag </think> ends it"
    assert answers.of_response(response).content == "the tag </think> ends it"


def test_an_imported_text_is_read_as_any_other():
    for text, _, _ in CASES:
        message = {"role": "assistant", "content": text}
        back = extract(message, Context(think_tags=True))
        before, after = answers.of_message(message), answers.of_message(back)
        assert (before.reasoning, before.content) == (after.reasoning, after.content)
