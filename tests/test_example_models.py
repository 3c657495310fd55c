"""The layouts of examples/models: the published shapes fit their layouts, and the script trains."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from shells import ROOT, shell

from qvl.model.layout import parse_layout

GPUS = 8
WORDS = {"one": 1, "two": 2, "four": 4, "sixteen": 16}
# layers, heads, kv heads, feed-forward width, experts: the models' config.json
SHAPES = {
    "2b": (28, 16, 8, 6144, 0),
    "4b": (36, 32, 8, 9728, 0),
    "8b": (36, 32, 8, 12288, 0),
    "32b": (64, 64, 8, 25600, 0),
    "30b-a3b": (48, 32, 4, 6144, 128),
    "235b-a22b": (94, 64, 4, 12288, 128),
}


RL = {"rl-8b": ["tp=4", "tp=2"], "rl-30b-a3b": ["ep=8"]}  # the layouts that the files name


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("which", ["SHORT", "LONG"])
def test_a_model_can_be_shared_as_its_file_says(name, which):
    text = (ROOT / "examples" / "models" / f"{name}.sh").read_text()
    (layout,) = re.findall(rf"LAYOUT_{which}-([^}}]*)}}", text)
    (nodes,) = re.findall(r"on (\w+) nodes? of 8 GPUs", text)
    check(name, layout, WORDS[nodes] * GPUS)


def check(name, layout, ranks):
    """UserError if the model cannot be shared among the ranks."""
    layers, heads, kv_heads, ffn, experts = SHAPES[name]
    shape = SimpleNamespace(
        layers=layers, heads=heads, kv_heads=kv_heads, ffn=ffn, num_experts=experts, vocab=151_936,
        vision=SimpleNamespace(deepstack_layers=(5, 11, 17)),
    )  # fmt: skip
    parse_layout(layout).check(cast(Any, shape), ranks)


@pytest.mark.parametrize("name", RL)
def test_the_trainer_of_rl_shares_a_model_as_its_file_says(name):
    text = (ROOT / "examples" / "models" / f"{name}.sh").read_text()
    assert re.findall(r"LAYOUT-([^}]*)}", text) == [*reversed(RL[name])]
    ranks = re.findall(r"NPROC-(\d+)}", text)
    for layout, count in zip(RL[name], reversed(ranks), strict=True):
        check(name.removeprefix("rl-"), layout, int(count))


def test_every_model_has_a_file():
    files = {path.stem for path in (ROOT / "examples" / "models").glob("*.sh")}
    assert files == {*SHAPES, "sft", "slurm", *RL}


def test_both_stages_train_behind_a_signal_and_a_later_run_skips_everything(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 40 --test 4 --tasks digit,add")
    assert made.returncode == 0, made.stderr
    line = f"'{ROOT}/examples/models/2b.sh' {twin} out data/raw.jsonl.zst"
    given = {
        "GPUS": "2", "SHORT": "256", "LONG": "512", "LAYOUT_SHORT": "", "LAYOUT_LONG": "cp=2",
        "BATCH_SHORT": "2", "BATCH_LONG": "2", "ARGS": "--steps 8 --log-every 1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    stopped = subprocess.Popen(
        ["bash", "-c", line], cwd=tmp_path, env={"PATH": path, **given},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert stopped.stderr
    while "step 1 of" not in stopped.stderr.readline():
        assert stopped.poll() is None
    os.killpg(stopped.pid, signal.SIGTERM)  # as Slurm does
    rest = stopped.communicate(timeout=60)[1]
    assert stopped.returncode == 143 and "continue with --resume" in rest, rest
    assert list((tmp_path / "out" / "256" / "checkpoints").glob("step-*"))
    first = run(line, **given)
    assert first.returncode == 0, first.stderr
    assert "step 1 of" not in first.stderr.partition("out/256: the model")[0]
    assert (tmp_path / "out" / "512" / "model.safetensors").exists()
    again = run(line, **given)
    assert again.returncode == 0 and "step" not in again.stderr, again.stderr


def test_the_script_alone_says_what_to_run(tmp_path: Path) -> None:
    done = shell(tmp_path)(f"'{ROOT}/examples/models/sft.sh' a b c")
    assert done.returncode == 2 and "run the file of a model" in done.stderr
