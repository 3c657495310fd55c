"""TRL's GRPOTrainer with SAPO on the queries of `qvl rl sapo`, in an environment of its own.

    python bare_grpo.py MODEL QUERIES.jsonl STEPS FOLDER

Prints a line per step, with the mean reward. 32 queries and 8 samples per step, two optimizer steps.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]
from trl_steps import SETTINGS, WORLD, Steps

QUERIES, SAMPLES, MINIBATCHES = 32, 8, 2


def reward(completions, answer, **rest):
    """As qvl's verifier of these sums: the last line is the answer."""
    texts = [each[0]["content"] for each in completions]
    pairs = zip(texts, answer, strict=True)
    return [float(text.strip().rsplit("\n", 1)[-1].strip() == right) for text, right in pairs]


def main(model: str, queries: str, steps: int, folder: str) -> None:
    torch.set_num_threads(1)
    rows = map(json.loads, Path(queries).read_text().splitlines())
    data = [{"prompt": row["messages"][:1], "answer": row["answer"]} for row in rows]
    config = GRPOConfig(
        output_dir=folder,
        **SETTINGS,
        loss_type="sapo",
        beta=0.0,
        learning_rate=1e-4,
        num_generations=SAMPLES,
        per_device_train_batch_size=QUERIES * SAMPLES // MINIBATCHES // WORLD,
        steps_per_generation=MINIBATCHES,
        gradient_accumulation_steps=1,
        max_completion_length=64,
        max_steps=steps * MINIBATCHES,
    )
    trainer = GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        reward_funcs=reward,  # type: ignore[arg-type]
        args=config,
        train_dataset=Dataset.from_list(data),
        callbacks=[Steps(MINIBATCHES, ["reward"])],
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
