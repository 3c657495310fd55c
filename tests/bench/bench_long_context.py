"""One step of `qvl sft` on a long pack: context parallelism over two processes, recomputation.

Prints time and memory by length, the line through them beside what qvl.plan.memory reckons, and what
that reckons of two released models at 256K. The last length takes some ten minutes on two cores: the
work of attention grows with the square of a record's length, here six records of some 43,000 tokens.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qvl.io import jsonl
from qvl.model.layout import parse_layout
from qvl.model.shape import Shape, VisionShape, load_shape
from qvl.pack.packed import Sample, join
from qvl.plan import memory

BIN = Path(sys.executable).parent
RECORDS, LAYOUT = 6, "cp=2"
LENGTHS = [size << 10 for size in (16, 32, 64, 128)]
# The published config.json, and the layouts and ranks of examples/models.
EIGHT = Shape(
    hidden=4096, layers=36, heads=32, kv_heads=8, head_dim=128, ffn=12_288, vocab=151_936, eps=1e-6,
    rope_theta=5e6, mrope_section=(24, 20, 20), max_positions=262_144, tied=False, num_experts=0,
    experts_per_token=0, expert_ffn=0, moe_aux_loss=0.0, image_id=151_655, video_id=151_656,
    vision=VisionShape(
        depth=27, hidden=1152, ffn=4304, heads=16, channels=3, patch=16, temporal_patch=2, merge=2,
        out_hidden=4096, num_positions=2304, deepstack_layers=(8, 16, 24),
    ),
)  # fmt: skip
EXPERTS = {"num_experts": 128, "experts_per_token": 8, "expert_ffn": 1536}
LARGEST = Shape(**{**vars(EIGHT), **EXPERTS, "layers": 94, "heads": 64, "kv_heads": 4})
RELEASED = {
    "8B": (EIGHT, "tp=2,cp=8", 16),
    "235B-A22B": (LARGEST, "tp=4,pp=4,vp=2,cp=8,ep=32", 128),
}


def step(folder, twin, context):
    """(tokens, seconds, bytes of a process at its largest) of one step on a pack nearly so long."""
    draw, size = random.Random(0), int(0.985 * context) // RECORDS
    samples = [
        Sample(f"r{number}", [draw.randrange(400) for _ in range(size)], [(1, size, 1.0)])
        for number in range(RECORDS)
    ]
    jsonl.write([join("pack", samples)], str(folder / "packed.zst"))
    words = ["--model", twin, "-o", f"out-{context}", "--nproc", "2", "--layout", LAYOUT]
    subprocess.run(
        [BIN / "qvl", "sft", *words, "--recompute", "--steps", "1", "--batch", "1", "packed.zst"],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    *_, row = jsonl.read(str(folder / f"out-{context}/log.jsonl"))
    return row["tokens"], row["seconds"], 1e9 * row["memory_gb"]


def reckoned(twin, tokens):
    shape, layout = load_shape(twin), parse_layout(LAYOUT)
    return memory.recomputing(shape, layout, tokens, ranks=2, element=4).total


def test_memory_by_length(tmp_path, twin):
    found = [step(tmp_path, twin, length) for length in LENGTHS]
    print()
    for tokens, seconds, most in found:
        print(f"{tokens:8,} tokens, {LAYOUT}, --recompute: {seconds:4.0f} s, {most / 1e9:.2f} GB")
    slope, first = np.polyfit([row[0] for row in found], [row[2] for row in found], 1)
    told = reckoned(twin, 2) - reckoned(twin, 1)
    print(f"{first / 1e9:.2f} GB and {slope / 1e3:.2f} kB a token; reckoned {told / 1e3:.2f} kB")


def test_a_step_of_256k_tokens(tmp_path, twin):
    tokens, seconds, most = step(tmp_path, twin, 256 << 10)
    print(
        f"\n{tokens:,} tokens, {LAYOUT}, --recompute: {seconds:.0f} s, {most / 1e9:.2f} GB in a "
        f"process; reckoned of its tensors {reckoned(twin, tokens) / 1e9:.2f} GB"
    )


@pytest.mark.parametrize("name", RELEASED)
def test_what_is_reckoned_of_a_released_model(name):
    shape, layout, ranks = RELEASED[name]
    found = memory.recomputing(shape, parse_layout(layout), 256 << 10, ranks=ranks)
    terms = ", ".join(f"{term} {size / 1e9:.1f}" for term, size in vars(found).items() if size)
    images = memory.recomputing(
        shape, parse_layout(layout), 256 << 10, ranks=ranks, image_tokens=1000
    ).images
    print(f"\n{name}, {layout}, 256K, GB a GPU: {terms}: {found.total / 1e9:.1f}", end="")
    print(f"; {images / 1e9:.2f} more with 1,000 image tokens")
