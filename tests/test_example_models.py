"""The layouts of examples/models: the published shapes fit their layouts, and the script trains."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shells import ROOT, shell

from qvl.model import flops
from qvl.model.layout import TYPICAL, parse_layout
from qvl.model.shape import Shape, VisionShape
from qvl.plan import memory

GPUS = 8
WORDS = {"one": 1, "two": 2, "four": 4, "sixteen": 16}
# hidden, layers, heads, kv heads, feed-forward width, experts, width of one, tied: the models' config.json
SHAPES = {
    "2b": (2048, 28, 16, 8, 6144, 0, 0, True),
    "4b": (2560, 36, 32, 8, 9728, 0, 0, True),
    "8b": (4096, 36, 32, 8, 12288, 0, 0, False),
    "32b": (5120, 64, 64, 8, 25600, 0, 0, False),
    "30b-a3b": (2048, 48, 32, 4, 6144, 128, 768, False),
    "235b-a22b": (4096, 94, 64, 4, 12288, 128, 1536, False),
}
# What 80 GB leave after NCCL's buffers, the workspace of kernels and fragmentation: our choice.
USABLE_GB = 66


def shape_of(name: str) -> Shape:
    hidden, layers, heads, kv_heads, ffn, experts, width, tied = SHAPES[name]
    large = name not in ("2b", "4b")
    vision = VisionShape(
        depth=27 if large else 24, hidden=1152 if large else 1024, ffn=4304 if large else 4096,
        heads=16, channels=3, patch=16, temporal_patch=2, merge=2, out_hidden=hidden,
        num_positions=2304, deepstack_layers=(8, 16, 24) if large else (5, 11, 17),
    )  # fmt: skip
    return Shape(
        hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads, head_dim=128, ffn=ffn,
        vocab=151_936, eps=1e-6, rope_theta=5e6, mrope_section=(24, 20, 20), tied=tied,
        max_positions=262_144, num_experts=experts, experts_per_token=8 if experts else 0,
        expert_ffn=width, moe_aux_loss=0.0, image_id=151_655, video_id=151_656, vision=vision,
    )  # fmt: skip


RL = {"rl-8b": ["tp=4", "tp=2"], "rl-30b-a3b": ["ep=8"]}  # the layouts that the files name


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("which", "tokens"), [("SHORT", 32_768), ("LONG", 262_144)])
def test_a_model_fits_with_images_as_its_file_says(name, which, tokens):
    text = (ROOT / "examples" / "models" / f"{name}.sh").read_text()
    (words,) = re.findall(rf"LAYOUT_{which}-([^}}]*)}}", text)
    (nodes,) = re.findall(r"on (\w+) nodes? of 8 GPUs", text)
    shape, layout, ranks = shape_of(name), parse_layout(words), WORDS[nodes] * GPUS
    layout.check(shape, ranks)
    images = int(0.9 * tokens)
    needed = memory.recomputing(shape, layout, tokens, ranks=ranks, image_tokens=images)
    assert needed.total < USABLE_GB * 1e9
    said = dict(zip(("SHORT", "LONG"), re.findall(r"(\d+) GB (?:per GPU )?at", text), strict=True))
    assert round(needed.total / 1e9) == int(said[which])


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("words", ["pp=2", "pp=4", "pp=8", "pp=4,vp=2"])
def test_no_stage_of_a_pipeline_takes_a_layer_longer_than_another_could(name, words):
    """Of the first, the tower is a part; where it alone takes longer, only DeepStack's layers join it."""
    shape = shape_of(name)
    stages = parse_layout(words).stages(shape)
    one = flops.layer(shape, TYPICAL)
    costs = [count * one for count in stages]
    costs[0] += flops.vision(shape.vision, TYPICAL) + flops.mergers(shape.vision, TYPICAL)
    costs[-1] += flops.head(shape, TYPICAL)
    assert sum(stages) == shape.layers
    assert sum(costs) == pytest.approx(flops.training(shape, TYPICAL) / flops.PASSES)
    others = costs if stages[0] > 3 else costs[1:]
    assert max(others) - min(costs) <= one * (1 + 1e-9)
    assert stages[0] >= 3


@pytest.mark.parametrize("name", RL)
def test_the_trainer_of_rl_shares_a_model_as_its_file_says(name):
    text = (ROOT / "examples" / "models" / f"{name}.sh").read_text()
    assert re.findall(r"LAYOUT-([^}]*)}", text) == [*reversed(RL[name])]
    ranks = re.findall(r"NPROC-(\d+)}", text)
    for layout, count in zip(RL[name], reversed(ranks), strict=True):
        parse_layout(layout).check(shape_of(name.removeprefix("rl-")), int(count))


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
