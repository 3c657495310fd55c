"""What the TRL trainers of the benches share: their settings, and a line per step with its figures, seconds,
and seconds of processor time."""

import json
import time
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

# As `qvl rl sapo` and `qvl distill on-policy` learn and sample, in fp32 on a CPU.
SETTINGS: dict[str, Any] = {
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "adam_beta2": 0.95,
    "max_grad_norm": 1.0,
    "temperature": 1.0,
    "shuffle_dataset": False,
    "bf16": False,
    "fp16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
}


class Steps(TrainerCallback):
    """A step is of several optimizer steps; a figure is the last one that was logged up to its end."""

    def __init__(self, optimizer_steps: int, figures: Sequence[str]) -> None:
        self.began = time.monotonic()
        self.optimizer_steps = optimizer_steps
        self.found = dict.fromkeys(figures, 0.0)

    def on_log(self, args, state, control, logs=None, **rest):
        logs = logs or {}
        self.found |= {name: float(logs[name]) for name in self.found if name in logs}
        if "loss" in logs and state.global_step % self.optimizer_steps == 0:
            row = {"step": state.global_step // self.optimizer_steps, **self.found}
            spent = {"seconds": time.monotonic() - self.began, "processor": time.process_time()}
            print(json.dumps({**row, **spent}), flush=True)
