"""The verdict on an answer to filter or score: in time, and counted where there is none."""

import time

from patience import PATIENCE
from shells import shell

from qvl.curate.rules import outcome
from qvl.curate.rules.outcome import NoVerdict
from qvl.curate.rules.responses import ResponseRules
from qvl.curate.scores import measured
from qvl.io import jsonl
from qvl.text.answers import of_response

NO_TESTS = {
    "id": "a",
    "task": "code",
    "answer": {"tests": ["import numpy\nassert f(1) == 1"]},
    "messages": [{"role": "user", "content": "Write f."}],
}
RESPONSES = [{"content": f"```python\ndef f(x):\n    return {n}\n```"} for n in range(2)]
SLOW = {"task": "schema", "answer": {"type": "string", "pattern": "^(a|a)*$"}}


def test_a_verifier_has_a_clock_where_it_filters_and_scores():
    begin = time.monotonic()
    found = outcome.correctness(SLOW, of_response({"content": '"' + "a" * 40 + 'b"'}), seconds=0.3)
    assert time.monotonic() - begin < PATIENCE
    assert isinstance(found, NoVerdict) and found.detail.startswith("timeout: ")


def test_a_verdict_that_fails_is_counted_and_drops_nothing():
    found = ResponseRules()({**NO_TESTS, "responses": RESPONSES})
    assert (found.verdict_errors, found.responses) == (2, [None, None])
    done = measured.annotate({**NO_TESTS, "responses": RESPONSES})
    assert [one["scores"]["verdict_errors"] for one in done["responses"]] == [1, 1]
    assert all("correctness" not in one["scores"] for one in done["responses"])
    assert done["scores"]["score-responses"]["verdict_errors"] == 2


def test_the_notes_of_a_run_count_them(tmp_path):
    turn = {"role": "assistant", **RESPONSES[0]}
    records = [
        {**NO_TESTS, "responses": RESPONSES},
        {**NO_TESTS, "messages": [*NO_TESTS["messages"], turn]},
        {**NO_TESTS, "task": "exact", "answer": "4", "responses": [{"content": "4"}]},
    ]
    jsonl.write(records, str(tmp_path / "in.zst"))
    for line in ("filter-responses --jobs 2", "filter-responses --explain", "score-responses"):
        done = shell(tmp_path)(f"qvl {line} in.zst -o out.zst")
        assert done.returncode == 0, done.stderr
        assert "verdict errors 3" in done.stderr


def test_conclusions_of_huge_exponents_are_not_computed():
    for huge in ("1e999999999", "1e-999999999", "9E99999999%", "1/0"):
        said = {"reasoning_content": f"So \\boxed{{{huge}}}", "content": f"\\boxed{{{huge[:-1]}}}"}
        answer = of_response(said)
        assert outcome.inconsistent(answer).startswith("the reasoning concludes")
    near = {"reasoning_content": "So \\boxed{1.6e-3}", "content": "\\boxed{0.0016}"}
    assert outcome.inconsistent(of_response(near)) == ""
