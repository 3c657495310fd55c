"""The files of a run that learns on-policy, for the job that writes them and for who reads them later."""

from pathlib import Path

SETTINGS = "rl.json"  # the settings of the run
ROLLOUTS = "rollouts"  # a folder of files, one per step
EVALUATIONS = "evaluations"  # likewise


def rollouts(output: str | Path, step: int) -> Path:
    """The file of a step."""
    return Path(output) / ROLLOUTS / f"step-{step:06d}.jsonl.zst"


def evaluation(output: str | Path, step: int) -> Path:
    """The file of the evaluation after a step."""
    return Path(output) / EVALUATIONS / f"step-{step:06d}.jsonl.zst"


def run_of(rollouts: str) -> Path:
    """The folder of the run of a file of rollouts."""
    return Path(rollouts).resolve().parent.parent
