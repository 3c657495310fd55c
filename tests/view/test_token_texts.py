"""Tokens with their texts, loss weights and what was measured of them."""

from pathlib import Path

import pytest

from qvl.pack.packed import Sample, join
from qvl.view import tokens


@pytest.fixture(scope="module")
def texts(twin) -> tokens.Texts:
    return tokens.Texts(Path(twin))


def encode(texts: tokens.Texts, text: str) -> list[int]:
    return texts._tokenizer.encode(text, add_special_tokens=False).ids


def test_the_texts_of_tokens_join_to_the_text(texts):
    text = "<|im_start|>user\nÉté 数学 🙂 \\frac{1}{2}\t|<|im_end|>"
    ids = encode(texts, text)
    found = texts(ids)
    assert len(found) == len(ids)
    assert "".join(found) == text
    assert texts([10**6])[0] == "<1000000>"


def test_a_pack_has_weights_and_columns_on_its_targets_alone():
    samples = [
        Sample("a", [1, 2, 3, 4], [(1, 2, 0.5), (3, 4, 0.25)], columns={"advantage": [7, 8]}),
        Sample("b", [5, 6], [(0, 2, 1.0)], columns={"advantage": [9, 10]}),
    ]
    line = join("pack", samples)
    found = tokens.of_pack(line, 0, 100, None)
    assert found["ids"] == [1, 2, 3, 4, 5, 6]
    assert found["weights"] == [None, 0.5, None, 0.25, 1.0, 1.0]
    assert found["columns"]["advantage"] == [None, 7, None, 8, 9, 10]
    part = tokens.of_pack(line, 3, 2, None)
    assert (part["ids"], part["weights"], part["columns"]["advantage"]) == (
        [4, 5],
        [0.25, 1.0],
        [8, 9],
    )
    assert tokens.segments(line) == [
        {"id": "a", "start": 0, "tokens": 4, "targets": 2},
        {"id": "b", "start": 4, "tokens": 2, "targets": 2},
    ]


def test_a_response_has_advantage_and_gap_by_token():
    response = {
        "token_ids": [1, 2, 3],
        "logprobs": [-1.0, -2.0, -3.0],
        "trainer_logprobs": [-1.5, -2.0, -2.0],
        "advantage": 0.5,
    }
    found = tokens.of_response(response, 1, 5, None)
    assert (found["ids"], found["total"]) == ([2, 3], 3)
    assert found["columns"] == {
        "logprob": [-2.0, -3.0],
        "trainer": [-2.0, -2.0],
        "gap": [0.0, 1.0],
        "advantage": [0.5, 0.5],
    }


def test_tokens_that_an_agent_read_have_no_values():
    response = {
        "token_ids": [1, 2, 30, 31, 3],
        "sampled": [[0, 2], [4, 5]],
        "logprobs": [-1.0, -2.0, -3.0],
        "trainer_logprobs": [-1.0, -2.0, -3.5],
        "advantage": 2.0,
    }
    found = tokens.of_response(response, 1, 9, None)
    assert found["ids"] == [2, 30, 31, 3]
    assert found["columns"] == {
        "logprob": [-2.0, None, None, -3.0],
        "trainer": [-2.0, None, None, -3.5],
        "gap": [0.0, None, None, -0.5],
        "advantage": [2.0, None, None, 2.0],
    }
