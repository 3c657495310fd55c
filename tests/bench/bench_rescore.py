"""Seconds in which `qvl eval score` scores 10,000 stored answers anew, start included (lower is better):
choices and mathematics by turns, half of them right."""

import subprocess
import time

from served import BIN

from qvl.io import jsonl

COUNT = 10_000


def answered(number: int) -> dict:
    task, right, wrong = ("math", "12", "13") if number % 2 else ("choice", "B", "C")
    answer = f"I compare what is given, step by step. The answer is {wrong if number % 4 > 1 else right}."
    asked = "What is 5 + 7?" if task == "math" else "Which is red?\nA. sky\nB. blood\nC. grass"
    return {
        "id": f"r{number}",
        "messages": [{"role": "user", "content": asked}],
        "task": task,
        "answer": right,
        "responses": [{"content": answer}],
    }


def test_scoring_stored_answers_anew(tmp_path):
    first, again = tmp_path / "first.jsonl.zst", tmp_path / "again.jsonl.zst"
    jsonl.write(map(answered, range(COUNT)), str(tmp_path / "answers.jsonl.zst"))
    score = [BIN / "qvl", "eval", "score"]
    subprocess.run([*score, tmp_path / "answers.jsonl.zst", "-o", first], check=True)
    began = time.perf_counter()
    subprocess.run([*score, first, "-o", again], check=True)
    print(f"\n{COUNT:,} answers scored anew in {time.perf_counter() - began:.2f} s")
    assert sum(record["responses"][0]["reward"] for record in jsonl.read(str(again))) == COUNT / 2
