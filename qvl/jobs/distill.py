"""On-policy distillation: the job of `qvl distill on-policy`, on the loop of qvl.jobs.rl.

In a step the student samples, a teacher scores its tokens, and the student learns the divergence between
the two. The teacher at an endpoint scores each group as soon as it is sampled; a local one when the step
is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl.distill.settings import DistillationSettings
from qvl.jobs.rl import RlSettings, run, sample_only
from qvl.rollout.figures import of_sequences
from qvl.rollout.sampler import SamplerProcess
from qvl.rollout.schedule import Stored, StoredStream

__all__ = ["DistillSettings", "run", "sample_only"]


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RlSettings):
    """The settings of a run. The rewards only evaluate, and of the policy the loop's own are used."""

    distillation: DistillationSettings

    def check(self, ranks: int) -> None:
        self.distillation.check()
        self.check_run(ranks)
        self._check_folders(ranks)

    def stored(self) -> Stored:
        return StoredStream(self.policy.stored, self.sampling.queries_per_step)

    def sampler(self) -> SamplerProcess:
        from qvl.distill.signal import Teaching  # numpy, which no command needs at its start

        return SamplerProcess(self.sampling, self.rewards, Teaching(self.distillation))

    def figures(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return of_sequences(records)

    def objective(self) -> Any:
        from qvl.train.distillation import DistillationObjective

        return DistillationObjective(self.distillation, self.policy, self.sampling, self.model)

    def _check_folders(self, ranks: int) -> None:
        """UserError for a local teacher that does not read as the student, or cannot have its layout."""
        from qvl.distill import tokenizer
        from qvl.model.layout import parse_layout
        from qvl.model.shape import load_shape
        from qvl.pack.render import Renderer

        model = Path(self.model.model)
        for folder in self.distillation.folders.values():
            shape = load_shape(Path(folder))
            parse_layout(self.model.layout).check(shape, ranks)
            renderer = Renderer(model, media_root=Path(self.sampling.media_root))
            tokenizer.check_folder(renderer, model, Path(folder))
