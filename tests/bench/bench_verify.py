"""How many records of 16 responses a core judges: the verdicts alone, and the whole of `qvl verify`.

In processor time, which a busy machine changes less than the clock's. Answers differ from response to
response; one in ten is right.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qvl.io import jsonl
from qvl.reward import verdict

RECORDS, RESPONSES = 3000, 16
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
    judge = verdict.Verify()
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
