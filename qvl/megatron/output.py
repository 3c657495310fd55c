"""The output of the model's last stage for one micro-batch: what a loss reads.

Shapes: R target tokens of this rank, D hidden, V vocabulary, K tokens per target, N records.

Context-parallel ranks have different target tokens of the same records, and the loss of a batch is
the sum over ranks and micro-batches: a loss adds up terms per target token, or spreads a term per
record over the record's target tokens. Tensor-parallel ranks have the same tokens and results.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from qvl.losses import log_probs
from qvl.losses.divergence import divergence
from qvl.losses.head import Vocabulary
from qvl.losses.log_probs import Terms
from qvl.megatron import context_parallel
from qvl.model.batch import Batch


@dataclass(frozen=True)
class Output:
    """The hidden states of the target tokens, and the head that turns them into distributions.

    Nothing is computed until it is requested. Methods communicate: every rank must call the same
    ones in the same order, whether or not it has target tokens.
    """

    batch: Batch
    """With the target tokens of this rank alone; its records are all of the pack's."""
    places: Tensor
    """(R,) which target tokens of the whole pack they are."""
    hidden: Tensor
    """(R, D) after the final norm."""
    head: Tensor
    """(V / tensor-parallel size, D) this rank's rows of the vocabulary."""
    group: Any
    """The process group of the ranks that share the vocabulary; None where one has all of it."""

    def log_probs(
        self,
        ids: Tensor | None = None,
        *,
        weights: Tensor | None = None,
        terms: Terms | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """The log-probs of `ids`, (R,) or (R, K), by default the targets themselves.

        weights: (R,), for a loss that is the sum of weights * log_probs up to a factor: its
        gradient is then computed on the spot, without computing the logits twice. terms: the same for
        the sum of weights * terms(log_probs), where `terms(log_probs[rows], rows)` are functions of
        each target's log-probs, such as SAPO's; `rows` is a slice of the target tokens.
        """
        ids = self.batch.labels if ids is None else ids
        return log_probs.log_probs(
            self.hidden, self.head, ids, weights, self._vocabulary(temperature), terms=terms
        )

    def log_probs_and_entropy(
        self,
        ids: Tensor | None = None,
        *,
        weights: Tensor | None = None,
        terms: Terms | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """The log-probs, and the entropy of each target's distribution in nats (R,), from the same
        logits. Both have gradients, the entropy's not on the spot."""
        ids = self.batch.labels if ids is None else ids
        return log_probs.log_probs_and_entropy(
            self.hidden,
            self.head,
            ids,
            self._vocabulary(temperature),
            weights=weights,
            terms=terms,
        )

    def divergence(
        self,
        teacher_hidden: Tensor,
        teacher_head: Tensor,
        beta: float,
        *,
        weights: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """(R,) the divergence from a teacher's distribution over the whole vocabulary; see
        qvl.losses.divergence.

        teacher_hidden: (R, D') after its final norm; teacher_head: (V / tensor-parallel size, D').
        weights: as of `log_probs`.
        """
        vocabulary = self._vocabulary(temperature)
        return divergence(
            self.hidden, self.head, teacher_hidden, teacher_head, beta, weights, vocabulary
        )

    def top_k(self, k: int, *, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """The k likeliest tokens in the place of each target: (log-probs (R, k), ids (R, k)),
        without gradient."""
        return log_probs.top_k(self.hidden, self.head, k, self._vocabulary(temperature))

    def sequence_sums(self, values: Tensor) -> Tensor:
        """(R,) per target token -> (N,) sums per record, over all ranks that have tokens of it.

        The gradient reaches the tokens of every rank. Indexed with `batch.sequences`, the sums come
        back to the tokens; divided by `batch.num_targets`, they are means.
        """
        sums = values.new_zeros(len(self.batch.lengths))
        sums = sums.index_add(0, self.batch.sequences, values)
        return context_parallel.sum_over_ranks(sums)

    def sequence_means(self, values: Tensor) -> Tensor:
        """(R,) -> (R,) for each target token, the mean over its own record's, on all ranks."""
        means = self.sequence_sums(values) / self.batch.num_targets.clamp(min=1)
        return means[self.batch.sequences]

    def whole(self, values: Tensor) -> Tensor:
        """(R, ...) -> the same of all target tokens of the pack, in its order, on every
        context-parallel rank; without gradient."""
        every = values.new_zeros((int(self.batch.num_targets.sum()), *values.shape[1:]))
        every.index_copy_(0, self.places, values.detach())
        context_parallel.add_over_ranks(every)
        return every

    def _vocabulary(self, temperature: float) -> Vocabulary:
        return Vocabulary(temperature, self.group)
