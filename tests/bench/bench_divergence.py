"""Distillation over Qwen's vocabulary at 2,048 tokens (BENCH_TOKENS): peak memory and time beside TRL's plain formula.

As bench_losses: CPU seconds of all threads, plain and ours by turns, the median ratio of the rounds. Both
sides hold the gradient of the student's head, V x D in fp32. `generalised`: beta 0.5. The top-k is that of
64 tokens and the tail, as from an endpoint; the plain way takes it from the student's whole log-probs.
"""

import pytest
import torch
from bench_losses import TOKENS, VOCABULARY, WIDTH, compare
from generalized_jsd import trl
from torch import Tensor

from qvl.losses.divergence import divergence, top_k_divergence
from qvl.losses.log_probs import log_probs, top_k

TEACHER_WIDTH, TOP, ROUNDS = 512, 64, 3
KINDS = {"forward KL": 0.0, "reverse KL": 1.0, "generalised": 0.5, "top-k reverse KL": 1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_divergence_memory_and_time(kind):
    torch.manual_seed(0)
    beta = KINDS[kind]
    hidden = torch.randn(TOKENS, WIDTH, requires_grad=True)
    head = (torch.randn(VOCABULARY, WIDTH) / 20).requires_grad_()
    teacher = torch.randn(TOKENS, TEACHER_WIDTH), torch.randn(VOCABULARY, TEACHER_WIDTH) / 20
    weights = torch.full((TOKENS,), 1 / TOKENS)
    best, ids = top_k(*teacher, TOP)
    tail = 1 - best.exp().sum(1)

    def terms(found: Tensor, rows: slice) -> Tensor:
        return top_k_divergence(found, best[rows], tail[rows], beta)

    def plain() -> Tensor:
        if kind.startswith("top-k"):
            found = (hidden @ head.T).log_softmax(1).gather(1, ids)
            return (terms(found, slice(None)) * weights).sum()
        return (trl(hidden @ head.T, teacher[0] @ teacher[1].T, beta) * weights).sum()

    def ours() -> Tensor:
        if kind.startswith("top-k"):
            found = log_probs(hidden, head, ids, weights, terms=terms)
            return (terms(found, slice(None)) * weights).sum()
        return (divergence(hidden, head, *teacher, beta, weights) * weights).sum()

    compare(kind, plain, ours, hidden, head, rounds=ROUNDS, rtol=1e-3)
