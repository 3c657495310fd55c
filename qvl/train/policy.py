"""What a rank learns from the responses of a step: their packs, old log-probs, and optimizer steps.

Shapes: R target tokens of a micro-batch. Imported once ranks have started.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from qvl.losses import policy as losses
from qvl.media.loader import loader
from qvl.megatron import image_sharing, parallel, scoring, training
from qvl.megatron.output import Output
from qvl.model.batch import Batch, make_batch
from qvl.pack import packed
from qvl.pack.template import load_tokenizer
from qvl.pack.token_classes import special_tokens
from qvl.plan import flops
from qvl.rollout.gap import MAX_GAP, Gap
from qvl.rollout.minibatches import Learnt, minibatches, packs
from qvl.rollout.settings import PolicySettings, SamplingSettings
from qvl.settings import ModelSettings
from qvl.train.log import TrainingLog
from qvl.train.loop import TrainingLoop
from qvl.train.sampler import balanced

Record = dict[str, Any]
Pack = list[Learnt]


class PolicyLearner:
    """Takes the steps of one trainer: `read`, `score`, `learn`, in this order on every rank."""

    def __init__(
        self,
        settings: PolicySettings,
        model: ModelSettings,
        sampling: SamplingSettings,
        trainer: training.Trainer,
    ) -> None:
        self.settings, self.trainer, self.shape = settings, trainer, trainer.model.shape
        folder = Path(model.model)
        self.special = special_tokens(load_tokenizer(folder))
        root = Path(sampling.media_root)
        sees = trainer.model.sees_images
        self._images = loader(folder, root, allow_remote=sampling.allow_remote) if sees else None
        dtype = "bf16" if trainer.model.config.bf16 else "fp32"
        self.max_gap = MAX_GAP[dtype] if settings.max_gap is None else settings.max_gap
        self.figures: dict[str, float] = {}
        """Of the last step."""

    def read(self, records: Sequence[Record], expected: str) -> None:
        """Choose this rank's packs. expected: the version of the trainer's weights; "" for a step of
        another run.

        Where other weights have sampled, the old log-probs are the engine's own, or those of the trainer
        of that time, where the file has them; else they are the trainer's, which `score` computes.
        """
        self.is_stale = any(
            each[0] != expected
            for record in records
            for response in record["responses"]
            for each in response["weight_versions"]
        )
        config = self.trainer.model.config
        virtual = len(self.trainer.chunks) > 1
        stages = config.pipeline_model_parallel_size if virtual else 1
        rank, ranks = parallel.data_rank()
        self._own: list[list[Pack]] = []
        self._sizes: list[list[packed.Size]] = []  # of every rank's
        for part in minibatches(
            records,
            self.settings.minibatches,
            mask_cut=self.settings.mask_cut,
            mask_over_turn=self.settings.mask_over_turn,
        ):
            found = packs(part.learnt, self.settings.pack_tokens, ranks * stages)
            sizes = [packed.size(_line(pack)) for pack in found]
            cost = [size.tokens for size in sizes]
            own = balanced(range(len(found)), cost.__getitem__, rank, ranks)
            self._own.append([found[index] for index in own])
            self._sizes.append(sizes)

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

        CheckFailed if they are too far from each other although the weights are the same.
        """
        own = [pack for part in self._own for pack in part]
        self._scores: dict[tuple[int, int], list[float]] = {}
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
        self._own = [[self._with_old(pack) for pack in part] for part in self._own]

    def log_probs(self) -> dict[tuple[int, int], list[float]]:
        """Of all ranks, on rank 0: the trainer's log-probs by the numbers of record and response."""
        found = parallel.gather_first(self._scores if parallel.is_first_of_model() else {})
        return {key: values for each in found for key, values in each.items()}

    def learn(self, loop: TrainingLoop, log: TrainingLog | None) -> training.Step:
        """Take an optimizer step per mini-batch, and return their means."""
        taken: list[training.Step] = []
        for number, (own, sizes) in enumerate(zip(self._own, self._sizes, strict=True)):
            if not sizes:  # nothing to learn from, on any rank
                self.trainer.scheduler.step(1)
                continue
            done = loop.step(
                self._batches(own),
                len(own),
                self._loss,
                log=log,
                tokens=sum(size.tokens for size in sizes),
                blame="loss_term",
                later_part=number > 0,
            )
            if done:
                taken.append(done)
        return _mean(taken)

    def _loss(self, batch: Batch, output: Output) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a micro-batch: see qvl.megatron.training.Loss."""
        columns, settings = batch.columns, self.settings
        old, advantages = columns["old_log_probs"], columns["advantage"]
        weights = columns["weight"]
        if settings.importance_cap is not None:
            weights = weights * losses.truncated_importance(
                old, columns["engine_log_probs"], settings.importance_cap
            )
        if settings.loss == "gspo":
            log_probs = output.log_probs()
            mean = output.sequence_means
            terms = losses.gspo(log_probs, old, advantages, mean=mean, **settings.limits())
        else:
            objective = self._objective()
            log_probs = output.log_probs(
                weights=weights,
                terms=lambda found, rows: objective(found, old[rows], advantages[rows]),
            )
            terms = objective(log_probs, old, advantages)
        ratios = losses.ratio_metrics(
            log_probs.detach(),
            old,
            advantages,
            columns["weight"],
            tau_pos=settings.tau_pos,
            tau_neg=settings.tau_neg,
        )
        metrics = {**ratios, "weight": columns["weight"].sum(), "loss_term": -terms}
        return losses.loss(terms, weights), metrics

    def _objective(self) -> Any:
        settings = self.settings
        if settings.loss == "grpo":
            return partial(losses.grpo, **settings.limits())
        return partial(losses.sapo, tau_pos=settings.tau_pos, tau_neg=settings.tau_neg)

    def _with_old(self, pack: Pack) -> Pack:
        return [
            one._replace(sample=replace(one.sample, columns=self._columns(one))) for one in pack
        ]

    def _columns(self, one: Learnt) -> dict[str, Any]:
        columns = one.sample.columns
        if not self.is_stale and _has_weight(one):
            return {**columns, "old_log_probs": self._scores[one.record, one.response]}
        return {"old_log_probs": columns["engine_log_probs"], **columns}

    def _batches(self, own: Sequence[Pack]) -> Iterator[Batch]:
        for pack in own:
            line = _line(pack)
            found = self._images(line) if self._images and line["images"] else {}
            load = found.__getitem__ if self._images else None
            yield make_batch(line, self.shape, load, image_sharing.share())


def _line(pack: Pack) -> Record:
    return packed.join("pack", [one.sample for one in pack])


def _has_weight(one: Learnt) -> bool:
    """Whether it is learnt from, and not there to fill a pack."""
    return one.sample.spans[0][2] > 0


def _mean(taken: Sequence[training.Step]) -> training.Step:
    """The step that a log reports for several."""
    if not taken:
        return training.Step(0.0, {})
    count = len(taken)
    names = [name for name in taken[0].metrics if name not in ("weight", "loss")]
    metrics = {
        name: sum(each.metrics[name] / each.metrics["weight"] for each in taken) / count
        for name in names
    }
    square = metrics.pop("ratio_square")
    metrics["ratio_spread"] = losses.ratio_spread(metrics["ratio"], square)
    return training.Step(
        sum(each.loss for each in taken) / count,
        metrics,
        grad_norm=sum(each.grad_norm for each in taken) / count,
        lr=taken[-1].lr,
        moe_aux_loss=taken[-1].moe_aux_loss,
    )
