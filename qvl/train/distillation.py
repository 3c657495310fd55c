"""The objective of distillation: a divergence from a teacher, or its log-ratio as an advantage, and SFT
records beside it.

Shapes: R target tokens of a micro-batch, K tokens per target, D' the teacher's hidden size. Imported once
ranks have started.

The loss is (1 - s) times the mean over the target tokens of a mini-batch, plus s times the weighted mean
cross-entropy of the replayed records, s their share. A local teacher runs at the student's layout, before
the step, and leaves its hidden states in the host's memory: D' numbers per token in place of V.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qvl.distill import codes, tokenizer
from qvl.distill.settings import DistillationSettings, chosen
from qvl.errors import UserError
from qvl.losses import divergence
from qvl.losses import policy as losses
from qvl.megatron import parallel, scoring, training
from qvl.megatron.output import Output
from qvl.model.batch import Batch
from qvl.pack.packed import Sample
from qvl.rollout.minibatches import Learnt, old_log_probs
from qvl.rollout.replay import Replay
from qvl.rollout.settings import PolicySettings, SamplingSettings
from qvl.settings import ModelSettings
from qvl.train.build import load_model
from qvl.train.learner import Batches, Record, mean_metrics, mean_step

CHECKED_EVERY = 10  # steps between two comparisons of engine and trainer, where no loss needs them


class DistillationObjective:
    """A qvl.train.learner.Objective."""

    def __init__(
        self,
        settings: DistillationSettings,
        policy: PolicySettings,
        sampling: SamplingSettings,
        model: ModelSettings,
    ) -> None:
        self.settings, self.policy, self.sampling = settings, policy, sampling
        self._tokenizer = tokenizer.digest(Path(model.model))
        self._first: int | None = None  # step of this process
        self._teachers = [
            _LocalTeacher(replace(model, model=folder, recompute=False))
            for folder in settings.folders.values()
        ]
        self._tasks = list(settings.folders)
        self._replay = None
        if settings.replay and settings.replay_share:
            self._replay = Replay(
                settings.replay,
                Path(model.model),
                Path(sampling.media_root),
                think_tags=settings.think_tags,
                allow_remote=sampling.allow_remote,
            )

    def groups(self, step: int, records: Sequence[Record]) -> list[list[list[Learnt]]]:
        """Per mini-batch: the responses of each local teacher (or of all endpoints), then the replay."""
        count = self.policy.minibatches
        numbered = list(enumerate(records))
        return [
            self._minibatch((step - 1) * count + part, numbered[part::count])
            for part in range(count)
        ]

    def _minibatch(self, number: int, records: Sequence[tuple[int, Record]]) -> list[list[Learnt]]:
        found = [
            (place, index, record, response)
            for place, record in records
            for index, response in enumerate(record["responses"])
            if response["token_ids"]
        ]
        tokens = sum(len(response["token_ids"]) for *_, response in found)
        share = self.settings.replay_share if self._replay else 0.0
        groups: list[list[Learnt]] = [[] for _ in self._teachers or [None]]
        for place, index, record, response in found:
            teacher = (
                self._tasks.index(chosen(record.get("task"), self._tasks)) if self._tasks else 0
            )
            sample = self._sample(record, index, response, (1 - share) / tokens, teacher)
            groups[teacher].append(Learnt(sample, place, index))
        if self._replay and found:
            beside = round(self._sequences() * share / (1 - share)) or 1
            groups.append(self._replay.take(number * beside, beside, share))
        return groups

    def _sequences(self) -> float:
        """Of a mini-batch, if none is refused: the replay must not depend on what was sampled."""
        every = self.sampling.queries_per_step * self.sampling.num_samples
        return every / self.policy.minibatches

    def _sample(
        self, record: Record, index: int, response: Record, weight: float, teacher: int
    ) -> Sample:
        prompt, tokens, media = (
            response["prompt_token_ids"],
            response["token_ids"],
            record["rollout"],
        )
        name, count = f"{record.get('id')}#{index}", len(tokens)
        columns: dict[str, Any] = {}
        if not self.policy.stored or self.settings.over == "sampled":
            if "logprobs" not in response:
                raise UserError(f"{name}: no logprobs of its sampling; say --over top-k")
            columns["engine_log_probs"] = response["logprobs"]
        columns |= old_log_probs(response)
        if self._teachers:
            columns["teacher"] = [teacher] * count
        else:
            columns |= self._scored(response, name)
        return Sample(
            name,
            [*prompt, *tokens],
            [(len(prompt), len(prompt) + count, weight)],
            media["images"],
            [(frames, rows, width) for frames, rows, width in media["grids"]],
            columns,
        )

    def _scored(self, response: Record, name: str) -> dict[str, Any]:
        """The columns of what a teacher at an endpoint said."""
        if "teacher" not in response:
            raise UserError(f"{name}: no teacher has scored it; qvl distill collect does")
        tokenizer.check_stored(response["teacher"], self._tokenizer, name)
        found = codes.decode(response["teacher"])
        if self.settings.over == "sampled":
            return {"teacher_sampled": found.sampled}
        if found.ids.shape[1] < self.settings.top_k:
            raise UserError(
                f"{name}: {found.ids.shape[1]} log-probs per place; --top-k {self.settings.top_k} needs more"
            )
        k = self.settings.top_k
        rest = found.tail + torch.from_numpy(found.log_probs[:, k:]).exp().sum(1).numpy()
        return {
            "teacher_ids": found.ids[:, :k],
            "teacher_log_probs": found.log_probs[:, :k],
            "teacher_tail": rest,
        }

    def needs_scores(self, step: int) -> bool:
        if self._first is None:
            self._first = step
        if self.settings.over == "sampled":
            return True
        online = not self.policy.stored
        return online and (step == self._first or step % CHECKED_EVERY == 1)

    @property
    def keeps_scores(self) -> bool:
        return self.settings.over == "sampled"

    def columns(self, one: Learnt, log_probs: Sequence[float] | None) -> Mapping[str, Any]:
        columns = one.sample.columns
        if self.settings.over != "sampled" or "replay" in columns:
            return columns
        old = log_probs
        if old is None:
            old = columns.get("old_log_probs", columns["engine_log_probs"])
        return {**columns, "old_log_probs": old}

    def prepare(self, batches: Batches, count: int) -> None:
        """The hidden states of the local teachers for this rank's micro-batches."""
        self._hidden: dict[tuple[str, ...], Tensor] = {}
        for number, teacher in enumerate(self._teachers):
            own = [tuple(batch.records) for batch in batches() if _teacher_of(batch) == number]
            if not own:
                continue
            mine = (batch for batch in batches() if _teacher_of(batch) == number)
            hidden = teacher.hidden_states(mine, len(own))
            self._hidden.update(zip(own, hidden, strict=False))  # none but on the last stage

    def loss(self, batch: Batch, output: Output) -> tuple[Tensor, Mapping[str, Tensor]]:
        weights = batch.columns["weight"]
        nothing = weights.new_zeros(())
        if "replay" in batch.columns:
            terms = -output.log_probs(weights=weights)
            loss = (terms * weights).sum()
            found = {"replay_loss": loss.detach(), "replay_weight": weights.sum()}
            metrics = {"divergence": nothing, "weight": nothing, **found}
            return loss, {**metrics, "loss_term": terms}
        terms, seen = self._terms(batch, output, weights)
        loss = (terms * weights).sum()
        metrics = {"divergence": (seen * weights).sum(), "weight": weights.sum()}
        metrics |= {"replay_loss": nothing, "replay_weight": nothing}
        return loss, {**metrics, "loss_term": terms}

    def _terms(self, batch: Batch, output: Output, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each token (R,), and its divergence or an estimate of it, without gradient."""
        columns, beta = batch.columns, self.settings.beta
        if self._teachers:
            teacher = self._teachers[_teacher_of(batch)]
            hidden = self._hidden[tuple(batch.records)].to(output.hidden.device)
            assert teacher.head is not None
            terms = output.divergence(hidden[output.places], teacher.head, beta, weights=weights)
            return terms, terms.detach()
        if self.settings.over == "top-k":
            theirs, tail = columns["teacher_log_probs"], columns["teacher_tail"]
            if not self.settings.tail:
                tail = None

            def of_rows(found: Tensor, rows: slice) -> Tensor:
                rest = None if tail is None else tail[rows]
                return divergence.top_k_divergence(found, theirs[rows], rest, beta)

            ids = columns["teacher_ids"]
            found = output.log_probs(ids, weights=weights, terms=of_rows)
            terms = of_rows(found, slice(None))
            return terms, terms.detach()
        old, teacher_log_probs = columns["old_log_probs"], columns["teacher_sampled"]
        advantages = divergence.log_ratio(old, teacher_log_probs)
        sapo = partial(losses.sapo, tau_pos=self.policy.tau_pos, tau_neg=self.policy.tau_neg)
        log_probs = output.log_probs(
            weights=weights, terms=lambda found, rows: sapo(found, old[rows], advantages[rows])
        )
        terms = -sapo(log_probs, old, advantages)
        return terms, divergence.reverse_kl_estimate(log_probs.detach(), teacher_log_probs)

    def mean(self, taken: Sequence[training.Step]) -> training.Step:
        some = [each for each in taken if each.metrics["weight"]]
        metrics = mean_metrics(some, ["divergence"]) if some else {"divergence": 0.0}
        replayed = [each for each in taken if each.metrics["replay_weight"]]
        if replayed:
            sums = (
                each.metrics["replay_loss"] / each.metrics["replay_weight"] for each in replayed
            )
            metrics["replay_loss"] = sum(sums) / len(replayed)
        return mean_step(taken, metrics)


class _LocalTeacher:
    """A teacher at the student's layout, without an optimizer."""

    def __init__(self, settings: ModelSettings) -> None:
        _, self.model = load_model(settings)
        self.model.to(parallel.device())
        self.model.requires_grad_(False)
        self.head: Tensor | None = None
        """(V / tensor-parallel size, D') on ranks of the last pipeline stage, once it has scored."""

    def hidden_states(self, batches: Any, count: int) -> list[Tensor]:
        hidden, self.head = scoring.hidden_states(self.model, batches, count)
        return hidden


def _teacher_of(batch: Batch) -> int:
    """The number of a micro-batch's teacher; -1 of one that is replayed."""
    found = batch.columns.get("teacher")
    return int(found[0]) if found is not None and len(found) else -1
