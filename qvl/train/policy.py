"""The objective of reinforcement learning: SAPO, GRPO or GSPO on the advantages of a step's responses.

Shapes: R target tokens of a micro-batch. Imported once ranks have started.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from qvl.losses import policy as losses
from qvl.megatron import training
from qvl.megatron.output import Output
from qvl.model.batch import Batch
from qvl.rollout.minibatches import Learnt, minibatches
from qvl.rollout.settings import PolicySettings
from qvl.train.learner import Batches, Record, mean_metrics, mean_step


class PolicyObjective:
    """A qvl.train.learner.Objective."""

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings

    def groups(self, step: int, records: Sequence[Record]) -> list[list[list[Learnt]]]:
        settings = self.settings
        found = minibatches(
            records,
            settings.minibatches,
            mask_cut=settings.mask_cut,
            mask_over_turn=settings.mask_over_turn,
        )
        return [[part.learnt] for part in found]

    def needs_scores(self, step: int) -> bool:
        return True

    @property
    def keeps_scores(self) -> bool:
        return True

    def columns(self, one: Learnt, log_probs: Sequence[float] | None) -> Mapping[str, Any]:
        columns = one.sample.columns
        if log_probs is not None:
            return {**columns, "old_log_probs": log_probs}
        return {"old_log_probs": columns["engine_log_probs"], **columns}

    def prepare(self, batches: Batches, count: int) -> None:
        """Nothing: the advantages are in the columns."""

    def loss(self, batch: Batch, output: Output) -> tuple[Tensor, Mapping[str, Tensor]]:
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

    def mean(self, taken: Sequence[training.Step]) -> training.Step:
        names = [name for name in taken[0].metrics if name not in ("weight", "loss")]
        metrics = mean_metrics(taken, names)
        square = metrics.pop("ratio_square")
        metrics["ratio_spread"] = losses.ratio_spread(metrics["ratio"], square)
        return mean_step(taken, metrics)

    def _objective(self) -> Any:
        settings = self.settings
        if settings.loss == "grpo":
            return partial(losses.grpo, **settings.limits())
        return partial(losses.sapo, tau_pos=settings.tau_pos, tau_neg=settings.tau_neg)
