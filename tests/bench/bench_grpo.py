"""Samples per second of `qvl rl sapo` and of TRL's GRPOTrainer (loss_type sapo) on the same twin, queries,
samples and learning rate, one thread each (higher is better), and the reward of each step of both.

TRL needs an environment of its own (trl, accelerate, datasets beside torch and transformers): TRL_PYTHON
is its interpreter. RL_START is a folder that ONLY_START=1 examples/rl-twin.sh has made.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import BIN, Served

STEPS, WARM = 12, 2  # steps, and those before the clock
SAMPLES = 256  # per step


@pytest.mark.skipif("RL_START" not in os.environ, reason="RL_START names no start")
@pytest.mark.parametrize("staleness", [0, 1])
def test_samples_per_second_beside_trl(tmp_path, staleness):
    start = Path(os.environ["RL_START"])
    ours = learn(start, tmp_path, staleness)
    theirs = learn_by_trl(start, tmp_path)
    print(f"\nrewards of qvl, --max-staleness {staleness}:", *(f"{r:.2f}" for _, r in ours))
    print("rewards of TRL:", *(f"{r:.2f}" for _, r in theirs))
    mine, other = rate(ours), rate(theirs)
    print(f"qvl {mine:.0f}, TRL {other:.0f} samples per second: {mine / other:.2f} times")


def rate(rows) -> float:
    return SAMPLES * (STEPS - WARM) / (rows[-1][0] - rows[WARM - 1][0])


def learn(start, tmp_path, staleness):
    """(seconds since the start, mean reward) of each step."""
    words = f"--model {start}/start -n 8 --batch 32 --max-tokens 64 --steps {STEPS} --lr 1e-4"
    words += (
        f" --save-every 0 --max-staleness {staleness} -o {tmp_path}/out {start}/mixed/raw.jsonl.zst"
    )
    server = Served(start / "start", "--port", 0, "--max-batch", 256)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": server.url}
    subprocess.run([BIN / "qvl", "rl", "sapo", *words.split()], env=env, check=True)
    server.stop()
    rows = map(json.loads, (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    return [(row["seconds"], row["reward"]) for row in rows if "reward" in row]


def learn_by_trl(start, tmp_path):
    queries = tmp_path / "queries.jsonl"
    with queries.open("w") as file:
        plain = [BIN / "qvl", "cat", "--plain", start / "mixed" / "raw.jsonl.zst"]
        subprocess.run(plain, stdout=file, check=True)
    python = os.environ.get("TRL_PYTHON", sys.executable)
    script = Path(__file__).parent / "bare_grpo.py"
    command = [python, script, start / "start", queries, str(STEPS)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    return [(row["seconds"], row["reward"]) for row in rows]
