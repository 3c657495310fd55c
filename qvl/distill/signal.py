"""The signal of distillation: a teacher scores responses, while others are still being sampled."""

from dataclasses import dataclass
from typing import Any

from qvl.distill.settings import DistillationSettings
from qvl.distill.teacher import Teachers
from qvl.pack.render import Renderer
from qvl.pending import Pending, Ready
from qvl.stage import Drop

Record = dict[str, Any]


class TeacherSignal:
    """A qvl.rollout.signal.Signal; used as a context. A local teacher scores in the trainer, so here it
    adds nothing."""

    def __init__(self, settings: DistillationSettings, renderer: Renderer) -> None:
        self._teachers = None if settings.folders else Teachers(settings, renderer)

    def __enter__(self) -> "TeacherSignal":
        if self._teachers:
            self._teachers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._teachers:
            self._teachers.__exit__(*error)

    def submit(self, record: Record) -> Pending:
        """The record to come, with `teacher` on each response that has a token."""
        if not self._teachers:
            return Ready(record)
        scored = self._teachers.score(record)
        assert not isinstance(scored, Drop)  # it was rendered before it was sampled
        return scored

    def complete(self, record: Record) -> Record:
        return record

    def check(self) -> None:
        """Nothing: an error has ended the step."""


@dataclass(frozen=True)
class Teaching:
    """Makes the signal in the process that samples: a qvl.rollout.signal.Teaching."""

    settings: DistillationSettings

    def signal(self, renderer: Renderer) -> TeacherSignal:
        """renderer: of the student."""
        return TeacherSignal(self.settings, renderer)
