"""`qvl agent-rollout` as users run it, and killed at any moment."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from scripted_engine import ScriptedEngine, call
from shells import shell

from qvl.io import jsonl
from qvl.record import check

KILLS = int(os.environ.get("TEST_KILLS", "3"))  # TEST_KILLS=20 kills as often
RECORDS = 8 * KILLS
LINE = (
    "qvl agent-rollout --model {model} --endpoint {url} --tool image_zoom_in_tool --zoom-min-tokens 4 "
    "--no-tool-schemas -n 2 --concurrency 4 in.zst"
)


def say(prompt, turns):
    """A number from the question decides how many crops are looked at before the answer."""
    time.sleep(0.004)
    number = int(prompt.split("number ")[1].split(".")[0])
    if turns <= number % 3:
        left = (number * 37 + turns * 100) % 700
        return call(label="it", bbox_2d=[left, 0, left + 200, 500], img_idx=0)
    return "fly away" if number == 5 else str(number)


@pytest.fixture
def folder(tmp_path):
    Image.effect_noise((200, 100), 60).convert("RGB").save(tmp_path / "a.png")
    records = [
        {
            "id": f"r{number}",
            "task": "number",
            "answer": str(number),
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": "a.png"},
                        {"type": "text", "text": f"Read number {number}."},
                    ],
                }
            ],
        }
        for number in range(RECORDS)
    ]
    jsonl.write(records, str(tmp_path / "in.zst"))
    return tmp_path


def test_a_record_gets_whole_trajectories_that_other_stages_read(folder, twin):
    with ScriptedEngine(twin, say) as server:
        done = shell(folder)(LINE.format(model=twin, url=server.url) + " -o out.zst")
        assert done.returncode == 0, done.stderr
    assert f"{RECORDS} kept, stop {2 * RECORDS}, calls 1" in done.stderr
    records = list(jsonl.read(str(folder / "out.zst")))
    assert [check(record) for record in records] == [None] * RECORDS
    for number, record in enumerate(records):
        for response in record["responses"]:
            assert response["num_calls"] == number % 3 == len(response["images"])
            assert all((folder / each).is_file() for each in response["images"])
    replay = "qvl agent-replay --zoom-min-tokens 4 out.zst -o same.zst --rejects other.zst"
    assert shell(folder)(replay).returncode == 0
    Image.effect_noise((200, 100), 99).convert("RGB").save(folder / "a.png")
    changed = shell(folder)(replay)
    assert changed.returncode == 3
    assert "record 'r1': response 0, turn 1, call 0: another image" in changed.stderr
    verified = shell(folder)("qvl verify out.zst -o verified.zst")
    assert verified.returncode == 0, verified.stderr
    assert f"mean reward {(RECORDS - 1) / RECORDS:.4g}"[:16] in verified.stderr


def test_a_rollout_that_is_killed_again_and_again_ends_in_the_same_bytes(folder, twin):
    draw = random.Random(KILLS)
    with ScriptedEngine(twin, say) as server:
        line = LINE.format(model=twin, url=server.url)
        whole = shell(folder)(f"{line} -o whole")
        assert whole.returncode == 0, whole.stderr
        paid = len(server.requests)
        images = {path.name for path in (folder / "tool-images").rglob("*.png")}
        process, kills = start(line, folder), 0
        while kills < KILLS:
            requests = len(server.requests) + draw.randint(0, paid // KILLS)
            while len(server.requests) < requests and process.poll() is None:
                time.sleep(0.001)
            if process.poll() is not None:
                break
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
            process.wait()
            kills += 1
            process = start(line, folder)
        assert process.wait(60) == 0
    assert kills > 0
    first, second = shell(folder)(
        "for each in whole cut; do zstdcat $each | sha256sum; done"
    ).stdout.split("\n")[:2]
    assert first == second
    assert {path.name for path in folder.glob("cut*")} == {"cut"}
    left = {path.name for path in (folder / "tool-images").rglob("*.png")}
    assert left == images


def start(line: str, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["bash", "-c", f"exec {line} -o cut --resume"],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
        stderr=subprocess.DEVNULL,
    )


def test_a_run_without_a_tool_or_an_engine_is_refused(folder, twin):
    done = shell(folder)(f"qvl agent-rollout --model {twin} in.zst -o out.zst")
    assert (done.returncode, "no engine; give --endpoint URL" in done.stderr) == (2, True)
    line = f"qvl agent-rollout --model {twin} --endpoint http://127.0.0.1:9 in.zst -o out.zst"
    assert "no tool; give --tool NAME" in shell(folder)(line).stderr
