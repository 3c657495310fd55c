"""The loop that every training job shares: steps, rejected steps, checkpoints, and the end of a run.

Imported once ranks have started.
"""

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qvl.errors import CheckFailed, UserError
from qvl.megatron import checkpoint, parallel, training
from qvl.model.batch import Batch
from qvl.settings import Checkpointing
from qvl.train.log import TrainingLog
from qvl.train.loss_guard import NAMED, LossGuard, Suspect, worst

# Steps between collections of garbage: our choice.
COLLECT_EVERY = 20


@contextlib.contextmanager
def collected_together() -> Iterator[None]:
    """Collect garbage after the same steps on every rank, and not when each has made enough of it: a rank
    that collects keeps all others waiting, each time another one."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class TrainingLoop:
    """The steps of a run; iterating gives their numbers, from 1 or from where a run is resumed.

    A checkpoint is written between steps where one is due, where the run is stopped, which ends the
    iteration, and after the last step unless checkpoints are off. Every rank has a loop and takes the same steps.
    """

    def __init__(
        self,
        trainer: training.Trainer,
        settings: Checkpointing,
        steps: int,
        *,
        identity: dict[str, Any],
        stopping: Callable[[], bool],
        watched: str = "loss",
        before_save: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        """identity: facts of the run, such as its seed, that must equal those in a checkpoint before the
        run resumes from it. stopping: called after each step; if it returns True on one rank, the run
        stops on all. watched: the metric whose jumps reject a step: the loss, or a scalar that the loss
        reports. before_save: called on every rank before a checkpoint. tell: gets a line on each
        checkpoint that is broken and therefore not used."""
        self.before_save, self.tell = before_save, tell
        self.trainer, self.settings, self.steps = trainer, settings, steps
        self.identity, self.stopping = identity, stopping
        self.guard = LossGuard(settings.max_jump, watched)
        self.folder = Path(settings.output) / "checkpoints"
        self._saving: checkpoint.Saving | None = None
        self.first = self._resume() if settings.resume else 0
        self.number = self.first

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.number == self.steps

    def __iter__(self) -> Iterator[int]:
        with collected_together():
            yield from self._steps()

    def _steps(self) -> Iterator[int]:
        while not self.finished:
            self.number += 1
            yield self.number
            if self.number % COLLECT_EVERY == 0:
                gc.collect()
            stopped = parallel.anywhere(self.stopping())
            every = self.settings.save_every
            due = every and self.number % every == 0
            if self._saving and self._saving.written():
                self._finish_saving()
            # The last one, too: what follows the loop, such as an export, may fail.
            if stopped or due or (every and self.finished):
                self._save(self.number)
            if stopped:
                break
        self._finish_saving()

    def step(
        self,
        batches: Iterable[Batch],
        count: int,
        loss: training.Loss,
        *,
        log: TrainingLog | None,
        tokens: int = 0,
        blame: str,
        later_part: bool = False,
    ) -> training.Step | None:
        """Take the step, see training.step; None where it is rejected and left out.

        log: on rank 0. blame: the metric per target token that ranks the records of a rejected step, to
        name the worst. later_part: of a step of several optimizer steps, one that is not the first. The
        weights before it are gone, so no checkpoint is written if it is rejected. CheckFailed if a
        rejected step stops the run.
        """
        done = training.step(self.trainer, batches, count, loss, self.guard, tokens=tokens)
        if done.rejected is None:
            return done
        parts = parallel.gather(done.records.get(blame, []))
        suspects = worst(part for each in parts for part in each)[:NAMED]
        if log:
            log.rejected(self.number, done.rejected, suspects)
        if self.settings.on_spike == "stop":
            if (
                self.number - 1 > self.first and not later_part
            ):  # else it is there, or nothing was done
                self._save(self.number - 1)
            self._finish_saving()
            raise CheckFailed(_rejection(self.number, done.rejected, blame, suspects))
        self.trainer.scheduler.step(1)
        return None

    def _save(self, number: int) -> None:
        """Begin to write the checkpoint of step `number`."""
        self.before_save()
        self._finish_saving()
        state = {"step": number, "losses": self.guard.state(), **self.identity}
        self._saving = checkpoint.begin(self.trainer, self.folder, state, keep=self.settings.keep)

    def _finish_saving(self) -> None:
        """Wait until no checkpoint is being written."""
        if self._saving:
            self._saving.finish()
        self._saving = None

    def _resume(self) -> int:
        """Restore the last checkpoint that is whole, of this layout or another; return the steps
        done, 0 where there is none. UserError where it belongs to another run, or none is whole."""
        saved = parallel.on_first(lambda: checkpoint.saved(self.folder))
        place = None
        for path in reversed(saved):
            problem = checkpoint.problem(path)
            if problem is None:
                place = path
                break
            self.tell(f"{path}: not used: {problem}")
        if place is None:
            if saved:
                raise UserError(
                    f"--resume: no checkpoint in {self.folder} is whole; remove them to start anew"
                )
            return 0
        rate = self.trainer.scheduler.max_lr
        state = checkpoint.load(self.trainer, place)
        if self.trainer.scheduler.max_lr != rate:  # which the checkpoint has replaced
            rates = f"--lr {self.trainer.scheduler.max_lr:g}, not {rate:g}"
            raise UserError(f"--resume: {place} belongs to a run with {rates}")
        check_same_run(place, state, self.identity)
        if state["step"] > self.steps:
            raise UserError(
                f"--resume: {place} is after more steps than the {self.steps} of this run"
            )
        self.guard.restore(state.get("losses", []))
        return state["step"]


def check_same_run(place: Path, found: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """UserError where the facts that were found at a place are those of another run."""
    for name, value in identity.items():
        if found.get(name) != value:
            raise UserError(
                f"--resume: {place} belongs to a run with {name} {found.get(name)}, not {value}"
            )


def _rejection(number: int, reason: str, blame: str, suspects: list[Suspect]) -> str:
    names = ", ".join(map(str, suspects))
    return (
        f"step {number} was not taken: {reason}; its worst records ({blame.replace('_', ' ')}): "
        f"{names}. The steps before it are kept; --resume --on-spike skip leaves such steps out"
    )
