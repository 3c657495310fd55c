"""Tokens a second of `qvl sft` beside transformers' Trainer: the same records a step, images included.

Both take fp32, fused AdamW, one thread, and a process that cuts images; neither tokenises, and tokens
are those of the records, without padding. qvl has them packed, the Trainer pads to the longest one.
The two take turns, and their first loss is the same. Prints the rates of each side's fastest round.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from qvl.io import jsonl
from qvl.tiny import data
from qvl.tiny.tasks import DEFAULT

BIN = Path(sys.executable).parent
STEPS, ROUNDS, THREADS, WORKERS = 16, 3, 1, 1
RECORDS = 128
MIXED = list(DEFAULT)
ALIKE = ["digit"]  # each 26 tokens, an image among them: nothing to pad


def run(folder, *words):
    env = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": ""}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, check=True, capture_output=True, text=True, env=env
    )
    return done.stdout


def ours(folder, packs, number):
    """(seconds of each step after the first, the first loss)"""
    words = ["--model", "twin", "-o", f"out-{number}", "--batch", packs, "--steps", STEPS]
    words += ["--lr", 1e-4, "--schedule", "constant", "--warmup-steps", 0, "--log-every", 1]
    run(folder, BIN / "qvl", "sft", *words, "--workers", WORKERS, "packed.zst")
    rows = [row for row in jsonl.read(str(folder / f"out-{number}/log.jsonl")) if "loss" in row]
    tokens = rows[0]["tokens"]
    return [tokens / row["tokens_per_second"] for row in rows[1:]], rows[0]["loss"]


def theirs(folder):
    script = Path(__file__).with_name("bare_trainer.py")
    line = run(folder, sys.executable, script, "twin", "packed.zst", ".", STEPS, WORKERS)
    told = json.loads(line.splitlines()[-1])
    return told["seconds"], told["loss"]


@pytest.mark.parametrize("tasks", [MIXED, ALIKE])
def test_tokens_a_second_beside_the_trainer(tmp_path, twin, tasks):
    plan = data.DataPlan(names=tasks, train=RECORDS, test=len(tasks), defect_share=0)
    data.write(tmp_path, plan)
    (tmp_path / "twin").symlink_to(twin)
    words = ["--model", "twin", "--context", "2k", data.RAW, "-o", "packed.zst"]
    run(tmp_path, BIN / "qvl", "pack", *words)
    lines = list(jsonl.read(str(tmp_path / "packed.zst")))
    lengths = [length for line in lines for length in line["lengths"]]
    assert len(lengths) == RECORDS
    found = {"qvl": [], "Trainer": []}
    for number in range(ROUNDS):
        found["qvl"].append(ours(tmp_path, len(lines), number))
        found["Trainer"].append(theirs(tmp_path))
        assert found["qvl"][-1][1] == pytest.approx(found["Trainer"][-1][1], rel=1e-3)
    rates = {
        name: sum(lengths) / min(statistics.mean(seconds) for seconds, _ in each)
        for name, each in found.items()
    }
    images = sum(len(line["images"]) for line in lines)
    print(
        f"\n{RECORDS} records a step, {images} images, {sum(lengths):,} tokens, "
        f"{max(lengths) * RECORDS:,} when padded: "
        + ", ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in rates.items())
        + f"; {rates['qvl'] / rates['Trainer']:.2f}"
    )
