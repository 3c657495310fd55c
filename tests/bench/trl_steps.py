"""A line per step of a TRL trainer: its figures, seconds, and seconds of processor time."""

import json
import time
from collections.abc import Sequence

from transformers import TrainerCallback


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
