"""When too many verdicts are errors: one rule and one status for verifiers, judges and models."""

import pytest
from fake_endpoint import FakeEndpoint, completion
from shells import shell

from qvl.error_rate import ErrorRate
from qvl.errors import CheckFailed
from qvl.io import jsonl


def test_during_a_run_the_share_counts_from_ten_errors_on():
    rate = ErrorRate(0.5)
    for number in range(9):
        rate.add(1, 1, f"record {number}")
    with pytest.raises(CheckFailed, match=r"10 of 10 responses.* the first: record 0;"):
        rate.add(1, 1, "record 9")


def test_at_the_end_it_counts_however_few_they_are():
    rate = ErrorRate(0.5)
    rate.add(2, 1, "record 1")
    rate.check()
    rate.add(1, 1, "record 2")
    with pytest.raises(CheckFailed, match="2 of 3"):
        rate.check()


def test_a_run_without_verdicts_has_no_errors():
    ErrorRate(0.0).check()


QUERIES = 30
CASES = {  # command -> what it judges its records with
    "filter-queries": "--judge {url}",
    "score-responses": "--judge {url}",
    "verify": "--hybrid general --judge {url}",
}


@pytest.mark.parametrize("command", CASES)
def test_judges_that_cannot_be_read_are_status_3_as_verifiers_that_crash_are(tmp_path, command):
    records = [
        {
            "id": f"r{number}",
            "task": "caption",
            "answer": "A dog.",
            "messages": [
                {"role": "user", "content": f"Why is the sky of planet {number} so blue?"}
            ],
            "responses": [{"content": "Because its air scatters the blue light of its sun."}],
        }
        for number in range(QUERIES)
    ]
    jsonl.write(records, str(tmp_path / "in.zst"))
    with FakeEndpoint(lambda body, attempt: completion("no JSON at all")) as endpoint:
        words = CASES[command].format(url=endpoint.url)
        done = shell(tmp_path)(f"qvl {command} {words} in.zst -o out.zst")
    assert done.returncode == 3, done.stderr
    assert "no verdict on 10 of" in done.stderr and "over --max-error-rate 0.05" in done.stderr
    assert not (tmp_path / "out.zst").exists()
