"""TRL's DistillationTrainer on the queries of `qvl distill on-policy`, in an environment of its own.

    python bare_distillation.py STUDENT TEACHER QUERIES.jsonl STEPS FOLDER

Prints a line per step, with its loss and the mean length of its responses. One optimizer step per step.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoTokenizer
from trl import DistillationConfig, DistillationTrainer  # type: ignore[attr-defined]
from trl_steps import SETTINGS, Steps

QUERIES, MAX_TOKENS = 64, 144


def main(student: str, teacher: str, queries: str, steps: int, folder: str) -> None:
    torch.set_num_threads(1)
    rows = map(json.loads, Path(queries).read_text().splitlines())
    config = DistillationConfig(
        output_dir=folder,
        **SETTINGS,
        beta=0.0,  # forward KL
        learning_rate=2e-4,
        per_device_train_batch_size=QUERIES,
        gradient_accumulation_steps=1,
        max_completion_length=MAX_TOKENS,
        max_steps=steps,
    )
    model, other = (
        AutoModelForImageTextToText.from_pretrained(each, dtype=torch.float32)
        for each in (student, teacher)
    )
    model.model.visual.requires_grad_(False)
    trainer = DistillationTrainer(
        model=model,
        teacher_model=other,
        processing_class=AutoTokenizer.from_pretrained(student, padding_side="left"),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": row["messages"][:1]} for row in rows]),
        callbacks=[Steps(1, ["loss", "completions/mean_length"])],
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
