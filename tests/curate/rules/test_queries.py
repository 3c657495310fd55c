"""The rules for queries, on a list in many languages: queries.tsv, written by hand."""

from pathlib import Path

import pytest

from qvl.curate.rules.queries import RULES, QueryRules

LINES = (Path(__file__).parent / "queries.tsv").read_text(encoding="utf-8").split("\n")
CASES = [tuple(line.split("\t")) for line in LINES if line and not line.startswith("#")]


def record(query, images=0, **fields):
    parts = [{"type": "image", "image": f"{number}.png"} for number in range(images)]
    content = [*parts, {"type": "text", "text": query}] if images else query
    return {"id": "a", "messages": [{"role": "user", "content": content}], **fields}


def reason(item, **thresholds):
    verdict = QueryRules(**thresholds)(item)
    return verdict.reason if verdict else "keep"


@pytest.mark.parametrize(("wanted", "images", "query"), CASES)
def test_each_query_of_the_list(wanted, images, query):
    assert reason(record(query, int(images))) == wanted


def test_the_list_has_as_many_sound_queries_as_bad_ones():
    good = sum(wanted == "keep" for wanted, *_ in CASES)
    assert good >= 120
    assert len(CASES) - good >= 100


def test_every_reason_has_a_detail():
    for wanted, images, query in CASES:
        verdict = QueryRules()(record(query, int(images)))
        assert wanted == "keep" or (verdict and verdict.detail)


def test_a_reference_to_an_earlier_turn_is_kept():
    turns = ["Name three primes.", "2, 3 and 5.", "And the next one?"]
    roles = ["user", "assistant", "user"]
    messages = [{"role": r, "content": t} for r, t in zip(roles, turns, strict=True)]
    assert reason({"id": "a", "messages": messages}) == "keep"
    messages[-1]["content"] = "Do that again."
    assert reason({"id": "a", "messages": messages}) == "keep"
    messages[-1]["content"] = "Thanks!"
    assert reason({"id": "a", "messages": messages}) == "keep"


def test_a_long_system_text_may_explain_a_pronoun():
    asked = [{"role": "user", "content": "What is this?"}]
    short = [{"role": "system", "content": "Be brief."}, *asked]
    long = [{"role": "system", "content": "The passage. " * 50}, *asked]
    assert reason({"id": "a", "messages": short}) == "vague"
    assert reason({"id": "a", "messages": long}) == "keep"


def test_a_video_counts_as_media():
    parts = [{"type": "video", "video": "v.mp4"}, {"type": "text", "text": "What is this?"}]
    assert reason({"id": "a", "messages": [{"role": "user", "content": parts}]}) == "keep"


def test_no_user_turn():
    assert reason({"id": "a", "messages": []}) == "no-query"
    assert reason({"id": "a", "messages": [{"role": "system", "content": "x"}]}) == "no-query"


def test_the_answer_does_not_count_for_the_length():
    item = record("Why is the sky blue?")
    item["messages"].append({"role": "assistant", "content": "x" * 500})
    assert reason(item, max_chars=100) == "keep"
    assert reason(item, max_chars=10) == "too-long"


def test_flags_require_an_answer_and_one_question():
    assert reason(record("Why is the sky blue?"), need_answer=True) == "no-answer"
    assert reason(record("Is 91 prime?", answer=False), need_answer=True) == "keep"
    several = "Let f(x) = x^2. (1) Find f(2). (2) Find the derivative of f."
    assert reason(record(several)) == "keep"
    assert reason(record(several), one_question=True) == "several-questions"
    assert reason(record("Who was Ada? When was she born?"), one_question=True) == (
        "several-questions"
    )
    choice = "Which is a prime?\nA) 4\nB) 5\nC) 6"
    assert reason(record(choice), one_question=True) == "keep"


def test_every_rule_is_shown_by_a_case():
    flagged = {"no-query", "too-long", "no-answer", "several-questions"}
    assert {name for name, _ in RULES} - flagged <= {wanted for wanted, *_ in CASES}
