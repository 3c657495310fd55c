"""What the TRL trainers of the benches share: their settings, and a line per step with its figures, seconds,
and seconds of processor time."""

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

WORLD = int(os.environ.get("WORLD_SIZE", "1"))  # processes, as torchrun sets it
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
    "ddp_find_unused_parameters": True,  # those of the vision tower
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
}


class Steps(TrainerCallback):
    """A step is of several optimizer steps; a figure is the last one that was logged up to its end.

    The processor time is that of this process times their number, as all do the same.
    """

    def __init__(self, optimizer_steps: int, figures: Sequence[str]) -> None:
        self.began = time.monotonic()
        self.optimizer_steps = optimizer_steps
        self.found = dict.fromkeys(figures, 0.0)

    def on_log(self, args, state, control, logs=None, **rest):
        logs = logs or {}
        self.found |= {name: float(logs[name]) for name in self.found if name in logs}
        done = "loss" in logs and state.global_step % self.optimizer_steps == 0
        if done and state.is_world_process_zero:
            row = {"step": state.global_step // self.optimizer_steps, **self.found}
            used = time.process_time() * WORLD
            spent = {"seconds": time.monotonic() - self.began, "processor": used}
            print(json.dumps({**row, **spent}), flush=True)
