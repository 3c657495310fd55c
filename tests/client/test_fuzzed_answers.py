"""Broken answers by the thousand: `make bench` reads 20,000, this test some of them."""

import fuzzed_answers


def test_a_broken_answer_is_one_line():
    found = fuzzed_answers.outcomes(800, seed=23)
    assert found["answered"] > 50 and found["EndpointError"] > 100, found
    assert found["Refused"] > 10, found
