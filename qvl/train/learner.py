"""What a rank learns from the records of a step: their packs, the trainer's own log-probs, and optimizer
steps. Which responses teach, and by which loss, is the objective's. Imported once ranks have started.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from qvl.media.loader import loader
from qvl.megatron import image_sharing, parallel, scoring, training
from qvl.megatron.output import Output
from qvl.model import flops
from qvl.model.batch import Batch, make_batch
from qvl.pack import packed
from qvl.pack.template import load_tokenizer
from qvl.pack.token_classes import special_tokens
from qvl.rollout.gap import MAX_GAP, Gap
from qvl.rollout.minibatches import Learnt, packs
from qvl.rollout.settings import PolicySettings, SamplingSettings
from qvl.settings import ModelSettings
from qvl.train.log import TrainingLog
from qvl.train.loop import TrainingLoop
from qvl.train.sampler import balanced

Record = dict[str, Any]
Pack = list[Learnt]
Batches = Callable[[], Iterator[Batch]]
DRIFT_EVERY = 8
"""Where older weights have sampled, the trainer scores every 8th response of one pack per rank: our choice."""


class Objective(Protocol):
    """What is learnt from the records of a step."""

    def groups(self, step: int, records: Sequence[Record]) -> list[list[list[Learnt]]]:
        """For each mini-batch, groups of samples that share no pack, always as many."""
        ...

    def needs_scores(self, step: int) -> bool:
        """Whether the trainer's log-probs before the step are needed, and compared with the engine's."""
        ...

    @property
    def keeps_scores(self) -> bool:
        """Whether these log-probs are added to the step's file, to be learned from again."""
        ...

    def columns(self, one: Learnt, log_probs: Sequence[float] | None) -> Mapping[str, Any]:
        """The columns of a response. log_probs: the trainer's, where its own weights have sampled."""
        ...

    def prepare(self, batches: Batches, count: int) -> None:
        """Called before an optimizer step over this rank's `count` micro-batches."""
        ...

    def loss(self, batch: Batch, output: Output) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See qvl.megatron.training.Loss."""
        ...

    def mean(self, taken: Sequence[training.Step]) -> training.Step:
        """The step that the log reports for several, at least one."""
        ...


class Learner:
    """Takes the steps of one trainer: `read`, `score`, `learn`, in this order on every rank."""

    def __init__(
        self,
        settings: PolicySettings,
        model: ModelSettings,
        sampling: SamplingSettings,
        trainer: training.Trainer,
        objective: Objective,
    ) -> None:
        self.settings, self.trainer, self.shape = settings, trainer, trainer.model.shape
        self.objective = objective
        folder = Path(model.model)
        self.special = special_tokens(load_tokenizer(folder))
        root = Path(sampling.media_root)
        sees = trainer.model.sees_images
        self._images = loader(folder, root, allow_remote=sampling.allow_remote) if sees else None
        dtype = "bf16" if trainer.model.config.bf16 else "fp32"
        self.max_gap = MAX_GAP[dtype] if settings.max_gap is None else settings.max_gap
        self.figures: dict[str, float] = {}
        """Of the last step."""

    def read(self, step: int, records: Sequence[Record], expected: str) -> None:
        """Choose this rank's packs. expected: the version of the trainer's weights; "" for a step of
        another run.

        Where other weights have sampled, the old log-probs are the engine's own, or those of the trainer
        of that time, where the file has them; else they are the trainer's, which `score` computes.
        """
        self.is_stale = any(
            each[0] != expected
            for record in records
            for response in record["responses"]
            for each in response.get("weight_versions") or [[None]]
        )
        self._learns_without_scores = self.is_stale and bool(expected)
        config = self.trainer.model.config
        virtual = len(self.trainer.chunks) > 1
        stages = config.pipeline_model_parallel_size if virtual else 1
        rank, ranks = parallel.data_rank()
        self._own: list[list[list[Pack]]] = []  # by mini-batch and group
        self._sizes: list[list[packed.Size]] = []  # of every rank's
        for groups in self.objective.groups(step, records):
            self._own.append([])
            self._sizes.append([])
            for learnt in groups:
                found = packs(learnt, self.settings.pack_tokens, ranks * stages)
                sizes = [packed.size(_line(pack)) for pack in found]
                cost = [size.tokens for size in sizes]
                own = balanced(range(len(found)), cost.__getitem__, rank, ranks)
                self._own[-1].append([found[index] for index in own])
                self._sizes[-1] += sizes

    @property
    def tokens(self) -> int:
        """Of the step, over all ranks."""
        return sum(size.tokens for sizes in self._sizes for size in sizes)

    @property
    def work(self) -> float:
        """FLOPs of the step, over all ranks, without the scoring."""
        return sum(flops.training(self.shape, size, ()) for sizes in self._sizes for size in sizes)

    def score(self, step: int) -> None:
        """The trainer's log-probs before the step, and how far the engine's are from them.

        Where other weights of this run have sampled, nothing is learned from the trainer's log-probs, so
        only a few are computed, for the figures: DRIFT_EVERY. CheckFailed if they are too far from each
        other although the weights are the same.
        """
        self._scores: dict[tuple[int, int], list[float]] = {}
        self.figures = {}
        if self.objective.needs_scores(step):
            self._score(step)
        self._own = [
            [[self._with_columns(pack) for pack in group] for group in part] for part in self._own
        ]

    def _score(self, step: int) -> None:
        own = [pack for part in self._own for group in part for pack in group if _sampled(pack)]
        if self._learns_without_scores:
            own = [pack[::DRIFT_EVERY] for pack in own[:1]]
        gap, entropies = Gap(), []
        if own:
            self.trainer.wait_for_parameters()
            scores = scoring.score(self.trainer.model, self._batches(own), len(own), entropy=True)
            for one, found in zip((each for pack in own for each in pack), scores, strict=True):
                if _has_weight(one):
                    values = found.log_probs.tolist()
                    self._scores[one.record, one.response] = values
                    sample, engine = one.sample, one.sample.columns["engine_log_probs"]
                    gap.add(sample.id, sample.ids, sample.targets, engine, values, self.special)
                    assert found.entropy is not None
                    entropies.append(found.entropy.mean().item())
        first = parallel.is_first_of_model()
        every = parallel.gather((gap, entropies) if first else None)
        gaps, means = zip(*[each for each in every if each], strict=True)
        total = Gap()
        total.merge(gaps)
        entropy = [value for each in means for value in each]
        name = "drift" if self.is_stale else "gap"
        self.figures = {
            **{key.replace("gap", name): value for key, value in total.figures().items()},
            "entropy": round(sum(entropy) / max(len(entropy), 1), 6),
        }
        if not self.is_stale:
            total.check(self.max_gap, step)

    def log_probs(self) -> dict[tuple[int, int], list[float]]:
        """Of all ranks, on rank 0: the trainer's log-probs by the numbers of record and response, where
        they are kept."""
        if self._learns_without_scores or not self.objective.keeps_scores:
            return {}
        found = parallel.gather_first(self._scores if parallel.is_first_of_model() else {})
        return {key: values for each in found for key, values in each.items()}

    def learn(self, loop: TrainingLoop, log: TrainingLog | None) -> training.Step:
        """Take an optimizer step per mini-batch, and return their means."""
        taken: list[training.Step] = []
        for number, (groups, sizes) in enumerate(zip(self._own, self._sizes, strict=True)):
            if not sizes:  # nothing to learn from, on any rank
                self.trainer.scheduler.step(1)
                continue
            own = [pack for group in groups for pack in group]
            self.objective.prepare(lambda own=own: self._batches(own), len(own))
            done = loop.step(
                self._batches(own),
                len(own),
                self.objective.loss,
                log=log,
                tokens=sum(size.tokens for size in sizes),
                blame="loss_term",
                later_part=number > 0,
            )
            if done:
                taken.append(done)
        return self.objective.mean(taken) if taken else training.Step(0.0, {})

    def _with_columns(self, pack: Pack) -> Pack:
        return [
            one._replace(sample=replace(one.sample, columns=self._columns(one))) for one in pack
        ]

    def _columns(self, one: Learnt) -> dict[str, Any]:
        own = not self.is_stale and _has_weight(one)
        known = self._scores.get((one.record, one.response)) if own else None
        return dict(self.objective.columns(one, known))

    def _batches(self, own: Sequence[Pack]) -> Iterator[Batch]:
        for pack in own:
            line = _line(pack)
            load = self._images.lazily(line) if self._images else None
            yield make_batch(line, self.shape, load, image_sharing.share())


def _line(pack: Pack) -> Record:
    return packed.join("pack", [one.sample for one in pack])


def _has_weight(one: Learnt) -> bool:
    """Whether it is learnt from, and not there to fill a pack."""
    return one.sample.spans[0][2] > 0


def _sampled(pack: Pack) -> bool:
    """Whether a pack holds what an engine has sampled."""
    return "engine_log_probs" in pack[0].sample.columns


def mean_metrics(taken: Sequence[training.Step], names: Sequence[str]) -> dict[str, float]:
    """The mean over steps of metrics that are sums with the weights `weight`."""
    return {
        name: sum(each.metrics[name] / each.metrics["weight"] for each in taken) / len(taken)
        for name in names
    }


def mean_step(taken: Sequence[training.Step], metrics: dict[str, float]) -> training.Step:
    """The step that a log reports for several, with their mean loss and norm."""
    return training.Step(
        sum(each.loss for each in taken) / len(taken),
        metrics,
        grad_norm=sum(each.grad_norm for each in taken) / len(taken),
        lr=taken[-1].lr,
        moe_aux_loss=taken[-1].moe_aux_loss,
    )
