"""How many records of 16 responses a core judges: the verdicts alone, and the whole of `qvl verify`.

In processor time, which a busy machine changes less than the clock's. Answers differ from response to
response; one in ten is right. The other verifiers judge the answers of their own cases, over and over,
which flatters those that remember what they read.
"""

import itertools
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qvl.io import jsonl
from qvl.reward import REWARDS
from qvl.reward.self_test import case_runner
from qvl.reward.verify import Verify

RECORDS, RESPONSES = 3000, 16
SECONDS = 1.5
BIN = Path(sys.executable).parent


def records(task):
    def answer(number):
        return "ABCD"[number % 4] if task == "choice" else str(number % 97)

    for number in range(RECORDS):
        yield {
            "id": f"r{number}",
            "task": task,
            "answer": answer(number),
            "messages": [{"role": "user", "content": "How many?"}],
            "responses": [
                {
                    "content": f"I see {number} and {other}.\n\nThe answer is {answer(number * other)}."
                }
                for other in range(RESPONSES)
            ],
        }


@pytest.mark.parametrize("task", ["counting", "choice", "math"])
def test_verdicts_a_second(task, tmp_path):
    made = list(records(task))
    judge = Verify()
    started = time.process_time()
    for record in made:
        judge(record)
    alone = RECORDS / (time.process_time() - started)
    path = tmp_path / "in.jsonl.zst"
    jsonl.write(made, str(path))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [BIN / "qvl", "verify", path, "-o", tmp_path / "out.zst"]
    subprocess.run(line, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{task}: {alone:,.0f} records/s, the whole command {RECORDS / spent:,.0f}")


@pytest.mark.parametrize("task", sorted(REWARDS.keys() - {"counting", "choice", "math", "code"}))
def test_verdicts_of_the_shipped_cases_a_second(task):
    cases = list(jsonl.read(str(case_runner.shipped(task))))
    judge, judged = Verify(task), 0
    started = time.process_time()
    for case in itertools.cycle(cases):
        judged += len(judge(case)["responses"])
        spent = time.process_time() - started
        if spent > SECONDS:
            break
    print(f"\n{task}: {judged / spent / RESPONSES:,.0f} records of {RESPONSES} responses/s")
