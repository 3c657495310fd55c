"""A training step of a 2B-shaped Qwen3-VL with images, beside transformers with SDPA in the same run.

On a machine with a GPU: pytest -m gpu tests/bench/bench_gpu.py --override-ini=python_files='bench_*.py' -s
QVL_WITHOUT_GPU=1 tries the benchmark itself on a CPU, with a tiny model; its figures mean nothing.
Weights and patches are random; reading and cutting images is no part of a step.
"""

import os
import time
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.gpu
CPU = os.environ.get("QVL_WITHOUT_GPU") == "1"
STEPS = 2 if CPU else 10
WARM = 1 if CPU else 3
CONTEXTS = (512, 1024) if CPU else (4096, 32_768)
ROWS = 8  # records that transformers gets at once; they are equally long, so none is padded
SECONDS = 400  # for 13 steps of either side
GRID = (1, 4, 4) if CPU else (1, 32, 32)  # 256 tokens an image, as the report's lower budget
IMAGE, START, END = (120, 121, 122) if CPU else (151_655, 151_652, 151_653)
TEXT_2B = {
    "vocab_size": 151_936, "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 6144,
    "max_position_embeddings": 262_144, "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}  # fmt: skip
VISION_2B = {
    "depth": 24, "hidden_size": 1024, "num_heads": 16, "intermediate_size": 4096, "patch_size": 16,
    "out_hidden_size": 2048, "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
}  # fmt: skip


def write_model(folder):
    if CPU:
        return checkpoints.write_checkpoint(folder, moe=False, tied=True)
    import transformers

    config = transformers.Qwen3VLConfig(
        text_config=TEXT_2B, vision_config=VISION_2B, image_token_id=IMAGE,
        vision_start_token_id=START, vision_end_token_id=END, video_token_id=151_656,
        tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.Qwen3VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def pack(context):
    """A packed line of records with an image and an answer each, as many as fit."""
    size = GRID[1] * GRID[2] // 4
    length = size + 2 + (20 if CPU else 254)
    draw = np.random.default_rng(0)
    line = {"id": "pack", "records": [], "lengths": [], "input_ids": [], "loss_weights": []}
    line |= {"images": [], "grids": []}
    for number in range(context // length):
        start = len(line["input_ids"])
        text = draw.integers(0, 110, length - size - 2).tolist()
        line["input_ids"] += [START, *[IMAGE] * size, END, *text]
        line["lengths"].append(length)
        line["loss_weights"].append([start + length - len(text) // 2, start + length, 1.0])
        line["images"].append(f"image-{number}")
        line["grids"].append(list(GRID))
        line["records"].append(str(number))
    return line


def loader(shape):
    values = np.random.default_rng(1).normal(size=(GRID[1] * GRID[2], shape.vision.patch_values))
    return lambda reference: (values.astype(np.float32), GRID)


def seconds_a_step(step):
    for _ in range(WARM):
        step()
    if not CPU:
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    if not CPU:
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS


def of_megatron(folder, line):
    from qvl.megatron import parallel, training, weights
    from qvl.model.batch import make_batch
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape
    from qvl.settings import RECOMPUTE, Optimization

    shape = load_shape(folder)
    overrides = RECOMPUTE if len(line["input_ids"]) > 8192 else {}
    model = training.build_model(shape, parallel.Layout(), torch.bfloat16, overrides)
    weights.load(model, Folder(folder))
    wanted = Optimization(warmup_steps=0, schedule="constant")
    trainer = training.prepare(model, wanted, 100)
    batch = make_batch(line, shape, loader(shape))
    loss = checkpoints.sft_loss([line])
    return seconds_a_step(lambda: training.step(trainer, [batch], 1, loss))


def of_transformers(folder, line):
    """ROWS records at once, as without packing; checkpointing as on our side."""
    import transformers

    from qvl.model.shape import load_shape

    device = "cpu" if CPU else "cuda"
    model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    model.to(device)
    if len(line["input_ids"]) > 8192:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    patches, _ = loader(load_shape(folder))("image-0")
    ids = torch.tensor(line["input_ids"]).view(len(line["lengths"]), -1).to(device)
    image = torch.from_numpy(patches).to(device, torch.bfloat16)
    begin, end, _ = line["loss_weights"][0]

    def step():
        for rows in ids.split(ROWS):
            labels = torch.full_like(rows, -100)
            labels[:, begin:end] = rows[:, begin:end]
            loss = model(
                input_ids=rows, mm_token_type_ids=(rows == IMAGE).int(), labels=labels,
                pixel_values=image.repeat(len(rows), 1), use_cache=False,
                image_grid_thw=torch.tensor([GRID] * len(rows), device=device),
            ).loss  # fmt: skip
            (loss * len(rows) / len(ids)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return seconds_a_step(step)


@pytest.mark.skipif(not (CPU or torch.cuda.is_available()), reason="needs a GPU")
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_step_beside_transformers(ranks, tmp_path, context):
    from qvl.model import flops
    from qvl.model.shape import load_shape
    from qvl.pack.packed import size

    folder, line = write_model(tmp_path), pack(context)
    (ours,) = ranks(1, of_megatron, folder, line, seconds=SECONDS)
    (theirs,) = ranks(1, of_transformers, folder, line, seconds=SECONDS)
    tokens = len(line["input_ids"])
    rate = flops.training(load_shape(folder), size(line)) / ours / 1e12
    peak = None if CPU else flops.peak_teraflops(torch.cuda.get_device_name())
    used = f", MFU {rate / peak:.1%}" if peak else ""
    print(
        f"\n{context} tokens: {tokens / ours:,.0f} tokens/s, {rate:.3g} TFLOP/s{used}; "
        f"transformers {tokens / theirs:,.0f} tokens/s: {theirs / ours:.2f} times as fast"
    )
