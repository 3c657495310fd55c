"""The phases of a step of `qvl rl sapo` on the twin, exactly on-policy and with the next step sampled
meanwhile, and the share of the time in which neither engine nor trainer works (lower is better).

The twin has random weights, and a response is rewarded by the parity of its length: every group teaches.
"""

import json
import os
import subprocess

import pytest
from served import BIN, Served

from qvl.io import jsonl
from qvl.tiny import data

STEPS = 10
PHASES = ("sample", "load", "score", "train", "weights", "wait", "idle")


@pytest.mark.parametrize("staleness", [0, 1])
def test_phases_of_a_step(tmp_path, twin, staleness):
    data.write(tmp_path, data.DataPlan(names=["add"], train=200, test=1, defect_share=0))
    records = [{**each, "task": "math"} for each in jsonl.read(str(tmp_path / "raw.jsonl.zst"))]
    jsonl.write(records, str(tmp_path / "rl.jsonl.zst"))
    words = (
        f"qvl rl sapo --model {twin} --verifier own_rewards:even -n 8 --batch 16 --steps {STEPS}"
    )
    words += f" --max-tokens 64 --lr 1e-5 --max-staleness {staleness} -o out rl.jsonl.zst"
    server = Served(twin, "--port", 0, "--max-batch", 256)
    tests = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests, "QVL_ENDPOINT": server.url}
    run = [BIN / "qvl", *words.split()[1:]]
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    server.stop()
    rows = map(json.loads, (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    rows = [row for row in rows if row.get("step", 0) > 2]  # the first ones warm up
    sums = {name: sum(row.get(f"{name}_seconds", 0.0) for row in rows) for name in PHASES}
    whole = sum(sums[name] for name in ("wait", "score", "train", "weights"))
    print(f"\n--max-staleness {staleness}: {whole / len(rows):.2f} s per step: ", end="")
    print(", ".join(f"{name} {seconds / len(rows):.2f}" for name, seconds in sums.items()), end="")
    print(f"; neither works {(sums['idle'] + sums['weights']) / whole:.1%}")
