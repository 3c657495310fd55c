"""transformers' Trainer on the records of a packed file, as a user without packing would set it up.

`python bare_trainer.py MODEL PACKED MEDIA_ROOT STEPS WORKERS` takes STEPS steps, every one on all records
of the file. Prints the seconds of each but the first, and the first loss.
"""

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from qvl.io import jsonl

PAD, IGNORED = 0, -100


class Collator:
    """Records side by side, padded to the longest of them; their images read and cut here."""

    def __init__(self, model: str, root: str, image_id: int) -> None:
        self.cut = transformers.AutoImageProcessor.from_pretrained(model)
        self.root, self.image_id = Path(root), image_id

    def __call__(self, records: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        wide = max(len(record["input_ids"]) for record in records)
        ids = torch.full((len(records), wide), PAD)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for row, record in enumerate(records):
            own = torch.tensor(record["input_ids"])
            ids[row, : len(own)], mask[row, : len(own)] = own, 1
            for start, end in record["learnt"]:
                labels[row, start:end] = own[start:end]
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        names = [name for record in records for name in record["images"]]
        pictures = [Image.open(self.root / name).convert("RGB") for name in names]
        seen = self.cut(images=pictures, return_tensors="pt")
        return {**batch, **seen, "mm_token_type_ids": (ids == self.image_id).int()}


class Watch(transformers.TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter())


def records(path: str, image_id: int) -> list[dict[str, Any]]:
    """Those of a packed file, each by itself; `learnt` are spans of tokens."""
    out = []
    for line in jsonl.read(path):
        images, start = iter(line["images"]), 0
        for length in line["lengths"]:
            ids, end = line["input_ids"][start : start + length], start + length
            runs = sum(key for key, _ in itertools.groupby(ids, lambda each: each == image_id))
            learnt = [
                (a - start, b - start) for a, b, _ in line["loss_weights"] if start <= a < end
            ]
            own = list(itertools.islice(images, runs))
            out.append({"input_ids": ids, "learnt": learnt, "images": own})
            start = end
    return out


def main(model: str, packed: str, root: str, steps: int, workers: int) -> None:
    load: Any = transformers.AutoModelForImageTextToText.from_pretrained
    loaded = load(model, dtype=torch.float32)
    image_id, watch = loaded.config.image_token_id, Watch()
    batch = records(packed, image_id)
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model=loaded,
            args=transformers.TrainingArguments(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=len(batch),
                learning_rate=1e-4, lr_scheduler_type="constant", weight_decay=0.1,
                adam_beta2=0.95, max_grad_norm=1.0, optim="adamw_torch_fused", bf16=False,
                use_cpu=True, dataloader_num_workers=workers, train_sampling_strategy="sequential",
                remove_unused_columns=False, logging_strategy="steps", logging_steps=1,
                save_strategy="no", report_to="none", disable_tqdm=True,
            ),
            data_collator=Collator(model, root, image_id),
            train_dataset=batch * steps,  # type: ignore[arg-type]
            callbacks=[watch],
        )  # fmt: skip
        trainer.train()
    seconds = [end - start for start, end in itertools.pairwise(watch.ends)]
    print(json.dumps({"seconds": seconds, "loss": trainer.state.log_history[0]["loss"]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
