"""Distillation: the divergence of a student's distribution Q from a teacher's P, per target token.

    forward KL, beta 0    KL(P || Q)
    reverse KL, beta 1    KL(Q || P)
    else                  beta KL(P || M) + (1 - beta) KL(Q || M), M = beta P + (1 - beta) Q

the generalised Jensen-Shannon divergence of GKD (arXiv 2306.13649, equation 1), which is 0 at both
ends, where the KL takes its place. Over the whole vocabulary, `divergence`; over the teacher's top-k
and one category for the rest, `top_k_divergence`; at the sampled token alone, `log_ratio`.

Shapes: R target tokens, D hidden, V vocabulary of this rank, K tokens per target. At R = 2,048 and
V = 151,936 the logits of both models are 2.5 GB in fp32, and plain code holds them several times; here
those of only a few rows exist at once, and the forward pass computes the gradient with them.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from qvl.losses.head import WHOLE, Gradient, Vocabulary, chunks, common_scale

FORWARD, REVERSE = 0.0, 1.0  # of beta
LEAST_TAIL = 1e-6  # probability of the student's tail: fp32 knows no sum closer to 1


def divergence(
    hidden: Tensor,
    weight: Tensor,
    teacher_hidden: Tensor,
    teacher_weight: Tensor,
    beta: float,
    weights: Tensor | None = None,
    vocabulary: Vocabulary = WHOLE,
) -> Tensor:
    """The divergence of each target's distributions over the whole vocabulary, (R,) in nats, in fp32.

    hidden (R, D), weight (V, D): the student's hidden states and head, which get gradients. Those of
    the teacher have a width of their own, and none. Both heads have the same rows of the vocabulary.
    weights: (R,), for a loss that is the sum of weights * divergence up to a common factor (None: 1):
    its gradient costs no second computation of the logits. Any other use has the right gradient, too.
    """
    assert weight.shape[0] == teacher_weight.shape[0]
    return _Divergence.apply(  # type: ignore[return-value]
        hidden, weight, teacher_hidden, teacher_weight, beta, weights, vocabulary
    )


def top_k_divergence(
    log_probs: Tensor,
    teacher_log_probs: Tensor,
    teacher_tail: Tensor | None,
    beta: float,
) -> Tensor:
    """The divergence over K tokens and their rest, (R,) in nats; differentiable by log_probs.

    log_probs, teacher_log_probs: (R, K) of the same tokens, which the teacher chose. teacher_tail: (R,)
    the probability of all others together, by the teacher. It bounds the whole divergence from below.

    None leaves the rest out: sum p (log p - log q), a truncated forward KL. ValueError at any other
    beta: a divergence that weighs with the student's probabilities falls to its least where the student
    leaves the K tokens, whatever the teacher says of them.
    """
    wide = torch.promote_types(log_probs.dtype, torch.float32)
    log_q, log_p = log_probs.to(wide), teacher_log_probs.to(wide)
    if teacher_tail is None:
        if beta != FORWARD:
            raise ValueError(f"beta {beta}: over a truncated top-k only the forward KL teaches")
        return (_times_log(log_p.exp(), log_p) - log_p.exp() * log_q).sum(1)
    log_q = torch.cat([log_q, _log_rest(log_q)[:, None]], 1)
    log_p = torch.cat([log_p, teacher_tail.to(wide).log()[:, None]], 1)
    p, q = log_p.exp(), log_q.exp()
    if beta == FORWARD:
        return (_times_log(p, log_p) - p * log_q).sum(1)
    # A token without a teacher's probability would cost the student infinitely much.
    log_p = log_p.clamp(min=math.log(LEAST_TAIL) * 2)
    if beta == REVERSE:
        return (q * (log_q - log_p)).sum(1)
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    return (beta * p * (log_p - log_m) + (1 - beta) * q * (log_q - log_m)).sum(1)


def log_ratio(log_probs: Tensor, teacher_log_probs: Tensor) -> Tensor:
    """log P - log Q of the sampled tokens (R,), without gradient: an advantage per token.

    With samples of Q, minus its mean estimates the reverse KL, and the policy gradient with this
    advantage is the gradient of the reverse KL of each token's distribution. As a direct loss it would
    teach nothing: the expected gradient of log Q - log P is that of log Q, which is 0.
    """
    return (teacher_log_probs - log_probs).detach()


def reverse_kl_estimate(log_probs: Tensor, teacher_log_probs: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log P - log Q of sampled tokens (R,): never negative, and of less variance
    than -d, with the same mean (http://joschu.net/blog/kl-approx.html, k3)."""
    ratio = log_ratio(log_probs, teacher_log_probs)
    return ratio.exp() - ratio - 1


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        teacher_hidden: Tensor,
        teacher_weight: Tensor,
        beta: float,
        weights: Tensor | None,
        vocabulary: Vocabulary,
    ) -> Tensor:
        found = hidden.new_empty(len(hidden), dtype=torch.float32)
        stated = torch.ones_like(found) if weights is None else weights.float()
        ctx.ready = None
        if any(ctx.needs_input_grad[:2]):
            ctx.ready = Gradient(hidden, weight, ctx.needs_input_grad)
        sides = _both(hidden, weight, teacher_hidden, teacher_weight, vocabulary)
        for part, student, teacher in sides:
            found[part], slope = _value_and_slope(
                student, teacher, beta, vocabulary.group, sloped=ctx.ready is not None
            )
            if ctx.ready is not None:
                ctx.ready.add(part, slope.mul_(stated[part, None] / vocabulary.temperature))
            del student, teacher, slope  # before the next chunk's exist
        ctx.save_for_backward(hidden, weight, teacher_hidden, teacher_weight, stated)
        ctx.beta, ctx.vocabulary = beta, vocabulary
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, teacher_hidden, teacher_weight, stated = ctx.saved_tensors
        vocabulary, (grad,) = ctx.vocabulary, grads
        gradient, ctx.ready = ctx.ready, None
        scale = common_scale(grad, stated) if gradient is not None else None
        if gradient is not None and scale is not None:
            gradient.scale(scale)
        else:
            gradient = Gradient(hidden, weight, ctx.needs_input_grad)
            sides = _both(hidden, weight, teacher_hidden, teacher_weight, vocabulary)
            for part, student, teacher in sides:
                _, slope = _value_and_slope(
                    student, teacher, ctx.beta, vocabulary.group, sloped=True
                )
                gradient.add(part, slope.mul_(grad[part, None] / vocabulary.temperature))
                del student, teacher, slope
        if vocabulary.group is not None and gradient.hidden is not None:
            dist.all_reduce(gradient.hidden, group=vocabulary.group)
        of_weight = gradient.weight
        if of_weight is not None:
            of_weight = of_weight.to(weight.dtype)
        return gradient.hidden, of_weight, None, None, None, None, None


def _both(
    hidden: Tensor,
    weight: Tensor,
    teacher_hidden: Tensor,
    teacher_weight: Tensor,
    vocabulary: Vocabulary,
) -> Any:
    """Some rows, and the logits of student and teacher there, in memory of their own."""
    theirs = chunks(teacher_hidden, teacher_weight, vocabulary)
    for part, student in chunks(hidden, weight, vocabulary):
        held = [student, next(theirs)[1]]
        del student
        yield part, held.pop(0), held.pop()  # this frame must not hold them while the next exist


def _value_and_slope(
    student: Tensor, teacher: Tensor, beta: float, group: dist.ProcessGroup | None, *, sloped: bool
) -> tuple[Tensor, Tensor]:
    """The divergence of some rows (rows,), and its gradient by the student's logits (rows, V).

    Both logits (rows, V) are overwritten. With q = softmax(z) and the derivative g_v of the divergence
    by q_v, that by z_v is q_v (g_v - sum_u q_u g_u).
    """
    log_q, log_p = _normalize(student, teacher, group)
    if beta == FORWARD:
        p = log_p.exp()
        value = _sum(log_p.sub_(log_q).mul_(p).sum(1), group)
        return value, log_q.exp_().sub_(p) if sloped else log_q
    if beta == REVERSE:
        ratio = log_p.neg_().add_(log_q)  # log q - log p
        q = log_q.exp_()
        products = ratio.mul_(q)
        value = _sum(products.sum(1), group)
        return value, products.sub_(q.mul_(value[:, None])) if sloped else products
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    p = log_p.exp()
    of_teacher = log_p.sub_(log_m).mul_(p).sum(1)
    del p
    ratio = log_m.neg_().add_(log_q)  # log q - log m
    q = log_q.exp_()
    products = ratio.mul_(q)
    sums = _sum(torch.stack([of_teacher, products.sum(1)]), group)
    slope = products.sub_(q.mul_(sums[1][:, None])).mul_(1 - beta) if sloped else products
    return beta * sums[0] + (1 - beta) * sums[1], slope


def _normalize(
    student: Tensor, teacher: Tensor, group: dist.ProcessGroup | None
) -> tuple[Tensor, Tensor]:
    """The logits (rows, V) of both become log-probs, in place."""
    largest = torch.stack([student.amax(1), teacher.amax(1)])
    if group is not None:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    totals = []
    for logits, top in zip((student, teacher), largest, strict=True):
        logits.sub_(top[:, None])
        totals.append(logits.exp().sum(1))
    logs = _sum(torch.stack(totals), group).log()
    return student.sub_(logs[0][:, None]), teacher.sub_(logs[1][:, None])


def _sum(values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    if group is not None:
        dist.all_reduce(values, group=group)
    return values


def _log_rest(log_probs: Tensor) -> Tensor:
    """(R, K) -> (R,) log(1 - sum exp), at least the log of LEAST_TAIL."""
    rest = -torch.expm1(torch.logsumexp(log_probs, 1))
    return rest.clamp(min=LEAST_TAIL).log()


def _times_log(p: Tensor, log_p: Tensor) -> Tensor:
    """p log p, 0 where p is."""
    return torch.where(p > 0, p * log_p, 0.0)
