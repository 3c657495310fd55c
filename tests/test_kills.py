"""kill -9 at any moment of a stage that pays: resumed, it ends in the bytes of an uninterrupted run.

TEST_KILLS=20 kills each stage as often. A moment is drawn in requests and then in milliseconds, so that
it falls into every part of a run on a machine of any speed, the start and the last write included.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from shells import shell

from qvl.io import jsonl

KILLS = int(os.environ.get("TEST_KILLS", "4"))
RECORDS = 12 * KILLS
IN_FLIGHT = 4
FIELDS = {"substance": True, "verifiable": True, "ambiguous": False, "revision": ""}
GRADES = ("correctness", "completeness", "clarity", "helpfulness", "language", "style")


def answer(body, attempt):
    """A judge's verdict where a schema asks for one, else a number that the seed decides."""
    time.sleep(0.004)
    if "response_format" not in body:
        return completion("42" if body.get("seed", 0) % 3 else "7")
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    grade = 1 + len(question(body)) % 5
    said = {"reason": "It is so.", **FIELDS, "complexity": grade, "relevance": 5}
    said |= dict.fromkeys([*GRADES, "vision", "instructions"], grade)
    return completion(json.dumps({name: said[name] for name in wanted}))


STAGES = {
    "generate": "qvl generate -n 2 --endpoint {url}",
    "generate, some samples saved": "qvl generate -n 4 --early-stop 0.5 --endpoint {url}",
    "filter-queries": "qvl filter-queries --judge {url}",
    "score-responses": "qvl score-responses --judge {url}",
    "filter-vision": "qvl filter-vision --text-endpoint {url}",
    "verify": "qvl verify --hybrid general --judge {url}",
}


def records(stage):
    for number in range(RECORDS):
        image = {"type": "image", "image": "a.png"}
        asked = {"type": "text", "text": f"How many are there in picture {number} of the album?"}
        yield {
            "id": f"r{number}",
            "task": "caption" if stage == "verify" else "math",  # which only a judge can tell
            "answer": "42",
            "messages": [{"role": "user", "content": [image, asked]}],
            "responses": [{"content": f"There are {number}, I think."}],
        }


@pytest.fixture
def folder(tmp_path, media):
    (tmp_path / "a.png").write_bytes((media / "small.png").read_bytes())
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_again_and_again_ends_in_the_same_bytes_and_pays_once(stage, folder):
    draw = random.Random(KILLS)
    jsonl.write(records(stage), str(folder / "in.zst"))
    with FakeEndpoint(answer) as endpoint:
        line = STAGES[stage].format(url=endpoint.url) + f" --concurrency {IN_FLIGHT} in.zst"
        whole = shell(folder)(f"{line} --rejects whole.bad -o whole")
        assert whole.returncode == 0, whole.stderr
        paid = len(endpoint.requests)
        assert paid >= RECORDS
        process, kills = start(line, folder), 0
        while kills < KILLS:
            requests = len(endpoint.requests) + draw.randint(0, paid // KILLS)
            if not wait_for(requests, endpoint, process):
                break
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
            process.wait()
            kills += 1
            process = start(line, folder)
        assert process.wait(60) == 0
        again = len(endpoint.requests) - paid
    assert kills == KILLS
    show = "zstdcat whole whole.bad | sha256sum; zstdcat cut cut.bad | sha256sum"
    first, second = shell(folder)(show).stdout.splitlines()
    assert first == second
    # What was in flight at a kill is lost: no more than that is asked for again.
    assert again <= paid + IN_FLIGHT * kills
    left = {path.name for path in folder.glob("cut*") if path.suffix != ".partial"}
    assert left == {"cut", "cut.bad"}


def start(line: str, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["bash", "-c", f"exec {line} --rejects cut.bad -o cut --resume"],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
        stderr=subprocess.DEVNULL,
    )


def wait_for(requests: int, endpoint: FakeEndpoint, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process is still there when so many requests have been made."""
    while len(endpoint.requests) < requests and process.poll() is None:
        time.sleep(0.001)
    return process.poll() is None
