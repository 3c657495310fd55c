"""`qvl pack`, `qvl sft` and `qvl export` as users run them: on the twin, with two ranks."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from shells import shell

from qvl.io import jsonl
from qvl.tiny import data


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("training")
    (made / "twin").symlink_to(twin)
    plan = data.DataPlan(names=["digit", "add"], train=160, test=2, defect_share=0)
    data.write(made, plan)
    return made


@pytest.fixture(scope="module")
def run(folder):
    """A line in the folder, which must succeed."""

    def run(line):
        done = shell(folder)(line, OMP_NUM_THREADS="1")
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done

    return run


def examples(command_module, name):
    return re.findall(r"^ *\$ (.+)$", command_module(name).command.__doc__, re.M)


def test_the_examples_run_one_after_the_other(command_module, run, folder):
    for line in examples(command_module, "pack"):
        run(line)
    run("qvl pack --model twin --context 512 raw.jsonl.zst -o packed.jsonl.zst")
    for name in ("sft", "export"):
        for line in examples(command_module, name):
            run(line)
    before, early, after = (
        load_file(folder / name / "model.safetensors") for name in ("twin", "early", "tuned")
    )
    assert list(before) == list(early) == list(after)
    name = "model.language_model.layers.0.mlp.down_proj.weight"
    assert not before[name].equal(early[name]) and not early[name].equal(after[name])


def test_transformers_loads_what_is_trained(folder):
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    load: Any = AutoModelForImageTextToText.from_pretrained
    _, notes = load(folder / "tuned", output_loading_info=True)
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    assert len(AutoTokenizer.from_pretrained(folder / "tuned")) > 0


def test_the_log_tells_the_settings_and_a_falling_loss(run, folder):
    run(
        "qvl sft --model twin -o fall --steps 30 --batch 2 --lr 2e-3 --log-every 10 packed.jsonl.zst"
    )
    first, *rows = jsonl.read(str(folder / "fall/log.jsonl"))
    assert first["settings"]["steps"] == 30
    assert [row["step"] for row in rows] == [1, 10, 20, 30]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2


def test_a_terminated_run_goes_on_and_ends_with_the_same_bits(run, folder):
    line = "qvl sft --model twin --nproc 2 --steps 60 --batch 2 --lr 1e-3 --log-every 1"
    run(f"{line} -o whole packed.jsonl.zst")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} -o cut packed.jsonl.zst"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    while "step 3," not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "go on with --resume" in errors and "Traceback" not in errors
    assert not (folder / "cut/config.json").exists()
    run(f"{line} -o cut --resume packed.jsonl.zst")
    assert "cut is finished" in run(f"{line} -o cut --resume packed.jsonl.zst").stderr
    whole, cut = (load_file(folder / name / "model.safetensors") for name in ("whole", "cut"))
    for name, tensor in whole.items():
        assert tensor.equal(cut[name]), name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--model nothing -o x packed.jsonl.zst", "nothing/config.json"),
        ("--model twin -o x gone.zst", "gone.zst: no such file"),
        ("--model twin -o tuned packed.jsonl.zst", "holds a run; go on with --resume"),
        ("--model twin -o x --freeze eyes packed.jsonl.zst", "say vision, merger or language"),
        ("--model twin -o x raw.jsonl.zst", "not a packed line; make one with qvl pack"),
        ("--model twin -o x --set layers=2 packed.jsonl.zst", "did you mean 'num_layers'"),
    ],
)
def test_what_a_user_must_mend_is_one_line_and_status_2(folder, words, told):
    done = shell(folder)(f"qvl sft {words}", OMP_NUM_THREADS="1")
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
