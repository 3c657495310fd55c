"""Random Qwen3-VL checkpoints and packed lines, and what transformers makes of them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

IMAGE, START, END, VOCAB = 120, 121, 122, 128
PATCH = 8  # pixels: a patch has 3 * 2 * 8 * 8 values
GRIDS = [(1, 4, 4), (1, 2, 6), (1, 4, 4), (1, 6, 4)]


def write_checkpoint(
    folder: Path,
    *,
    moe: bool,
    tied: bool,
    layers: int = 3,
    seed: int = 0,
    kv_heads: int = 2,
    vision_heads: int = 2,
    ffn: int = 96,
) -> Path:
    """Write one; every weight is random, norms and biases too, so that no mapping goes untested."""
    import transformers

    kind = "Qwen3VLMoe" if moe else "Qwen3VL"
    text: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 2 * kv_heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 16,
        "intermediate_size": ffn,
        "max_position_embeddings": 512,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5e6,
            "mrope_section": [4, 2, 2],
            "mrope_interleaved": True,
        },
        "tie_word_embeddings": tied,
    }
    if moe:
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
    vision = {
        "depth": 3,
        "hidden_size": 16 * vision_heads,
        "intermediate_size": 48,
        "num_heads": vision_heads,
        "patch_size": PATCH,
        "out_hidden_size": 64,
        "num_position_embeddings": 36,
        "deepstack_visual_indexes": [0, 2],
    }
    config = getattr(transformers, f"{kind}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=IMAGE,
        vision_start_token_id=START,
        vision_end_token_id=END,
        video_token_id=VOCAB - 1,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")._from_config(
        config, attn_implementation="eager", dtype=torch.float32
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0, 0.1)
            if "norm" in name and name.endswith("weight"):
                weight += 1
    model.save_pretrained(folder)
    return folder


def load_reference(folder: Path) -> Any:
    """The checkpoint as transformers loads it."""
    import transformers

    return transformers.AutoModelForImageTextToText.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()


def pack(seed: int, *, images: bool = True) -> dict[str, Any]:
    """A packed line of six records: some with one or two images, unequal lengths and weights."""
    draw = np.random.default_rng(seed)
    line: dict[str, Any] = {"id": f"pack-{seed}", "records": [], "lengths": [], "input_ids": []}
    line |= {"loss_weights": [], "images": [], "grids": []}
    for number in range(6):
        ids = draw.integers(0, 110, 4 + 3 * number).tolist()
        for grid in [GRIDS[(seed + number) % 4], GRIDS[number % 4]][: number % 3] if images else []:
            ids += [START, *[IMAGE] * (grid[1] * grid[2] // 4), END]
            line["images"].append(f"{seed}-{len(line['images'])}")
            line["grids"].append(list(grid))
        start = len(line["input_ids"]) + len(ids)
        ids += draw.integers(0, 110, 2 + number).tolist()
        line["input_ids"] += ids
        line["lengths"].append(len(ids))
        line["loss_weights"].append([start, len(line["input_ids"]), float((2 + number) ** -0.5)])
        line["records"].append(f"{seed}-{number}")
    return line


def patches(reference: str) -> np.ndarray:
    """Random values for the image of that name; as many rows as the largest grid has."""
    seed = [int(word) for word in reference.split("-")]
    return np.random.default_rng(seed).normal(size=(24, 3 * 2 * PATCH**2)).astype(np.float32)


def loader(line: dict[str, Any]) -> Any:
    """What qvl.model.batch loads images with."""
    grids = dict(zip(line["images"], line["grids"], strict=True))

    def load(reference: str) -> tuple[np.ndarray, tuple[int, int, int]]:
        grid = tuple(grids[reference])
        return patches(reference)[: grid[1] * grid[2]], grid

    return load


def samples(line: dict[str, Any]) -> list[Any]:
    """The records of a packed line, apart, with their columns."""
    from qvl.pack.packed import Sample

    found, start, image, target = [], 0, 0, 0
    for name, length, span in zip(
        line["records"], line["lengths"], line["loss_weights"], strict=True
    ):
        ids = line["input_ids"][start : start + length]
        first, last, weight = span
        images, targets = (
            slice(image, image + ids.count(START)),
            slice(target, target + last - first),
        )
        sample = Sample(name, ids, [(first - start, last - start, weight)])
        sample.images, sample.grids = line["images"][images], line["grids"][images]
        columns = line.get("columns", {})
        sample.columns = {name: values[targets] for name, values in columns.items()}
        found.append(sample)
        start, image, target = start + length, images.stop, targets.stop
    return found


def batch(folder: Path, line: dict[str, Any], *, dealt: bool = False) -> Any:
    """A micro-batch. dealt: with the images of this rank alone."""
    from qvl.model.batch import make_batch
    from qvl.model.dealing import ALL
    from qvl.model.shape import load_shape

    share = ALL
    if dealt:
        from qvl.megatron import image_sharing

        share = image_sharing.share()
    return make_batch(line, load_shape(folder), loader(line), share)


def reference_logits(model: Any, line: dict[str, Any]) -> Tensor:
    """transformers' logits of a packed line, each record by itself: (T, V)."""
    out, start, left = [], 0, list(zip(line["images"], line["grids"], strict=True))
    for length in line["lengths"]:
        ids = torch.tensor([line["input_ids"][start : start + length]])
        start += length
        missing, own = int((ids == IMAGE).sum()), []
        while missing > 0:
            own.append(left.pop(0))
            missing -= own[-1][1][1] * own[-1][1][2] // 4
        seen = {}
        if own:
            values = [patches(name)[: grid[1] * grid[2]] for name, grid in own]
            seen = {
                "pixel_values": torch.from_numpy(np.concatenate(values)),
                "image_grid_thw": torch.tensor([grid for _, grid in own]),
                "mm_token_type_ids": (ids == IMAGE).int(),
            }
        out.append(model(input_ids=ids, use_cache=False, **seen).logits[0])
    return torch.cat(out)


def reference_log_probs(model: Any, line: dict[str, Any]) -> list[Tensor]:
    """transformers' log-probs of the target tokens, by record."""
    log_probs = reference_logits(model, line).log_softmax(-1)
    ids = torch.tensor(line["input_ids"])
    return [
        log_probs[start - 1 : end - 1].gather(1, ids[start:end, None])[:, 0]
        for start, end, _ in line["loss_weights"]
    ]


def reference_loss(model: Any, lines: list[dict[str, Any]]) -> Tensor:
    """The weighted mean over the target tokens of all lines, record by record."""
    total, weight_sum = torch.zeros(()), 0.0
    for line in lines:
        found = reference_log_probs(model, line)
        for log_probs, (_, _, weight) in zip(found, line["loss_weights"], strict=True):
            total = total - weight * log_probs.sum()
            weight_sum += weight * len(log_probs)
    return total / weight_sum


def loss_weight(lines: list[dict[str, Any]]) -> float:
    return sum((end - start) * w for line in lines for start, end, w in line["loss_weights"])


def sft_loss(lines: list[dict[str, Any]]) -> Any:
    """The loss of a step over these lines, for training.step."""
    from qvl.jobs.sft import loss_of

    return loss_of(loss_weight(lines))


def whole_weights(model: Any, folder: Path) -> dict[str, Tensor]:
    """The tensors that `folder` has, with a Megatron model's weights, on every rank; all must call."""
    from qvl.megatron import parallel, weights
    from qvl.model.folder import Folder

    like = Folder(folder)
    first = parallel.rank() == 0
    place = parallel.gather(tempfile.mkdtemp() if first else None)[0]
    target = Path(place) / "whole"
    weights.write(model, like, target)
    written = Folder(target)
    found = {name: written.get(name).clone() for name in like.names}
    parallel.barrier()
    if first:
        shutil.rmtree(place)
    return found
