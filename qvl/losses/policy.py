"""The policy losses: SAPO (arXiv 2511.20347), and GRPO (arXiv 2402.03300) and GSPO (arXiv
2507.18071) as its baselines.

Shapes: R target tokens, of any number of responses, in any order: the tokens of a response may lie in
several micro-batches and on several ranks. Tokens that are not learnt (the prompt, padding, the output of a
tool) have no row, or a weight of 0.

The objective is the mean over each response's tokens, then over the N responses of the mini-batch.
`sapo`, `grpo` and `gspo` return its terms, one per token, to be maximized; `loss` adds them up with
the weights 1 / (|y_i| N), so that parts of a mini-batch add up to the whole, however it is split.

Rules, each tested in tests/losses:
- Computed in fp32, or in the inputs' own type where it is wider.
- log(pi / pi_old) is clamped to +-20 per token, where SAPO's gate is closed: outside, the gradient is 0.
  A log-probability of -inf on one side is thus finite in value and gradient. On both sides the
  ratio is 1, without a gradient.
- NaN makes the loss NaN: it comes from a broken model, and the loss guard must see it.
- A response without a token adds nothing and counts in N.
- An advantage of 0 (a group without spread, a group of one) makes a term and its gradient 0.
- The ratio is to the log-probabilities of the trainer before the update, at the temperature of
  sampling; `truncated_importance` is the correction for an engine that sampled with others.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from qvl.losses import defaults

LOG_RATIO_LIMIT = 20.0  # verl's and SkyRL's, too; SAPO's gate weighs e^-20 less than 1e-8 beyond


def sapo(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    tau_pos: float = defaults.TAU_POS,
    tau_neg: float = defaults.TAU_NEG,
) -> Tensor:
    """sigmoid(tau (r - 1)) 4 / tau A, with tau_pos where A > 0, else tau_neg (equations 5 to 7).

    All (R,). The gradient is w r A times that of log pi, where w = sech^2(tau / 2 (r - 1)): 1 at
    r = 1, the gradient of REINFORCE, and falling smoothly on both sides.
    """
    ratio = _log_ratio(log_probs, old_log_probs).exp()
    tau = _temperature(ratio, advantages, tau_pos, tau_neg)
    return torch.sigmoid(tau * (ratio - 1)) * (4 / tau) * advantages


def grpo(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    clip_low: float = defaults.GRPO_CLIP_LOW,
    clip_high: float = defaults.GRPO_CLIP_HIGH,
) -> Tensor:
    """min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), without a KL term.

    All (R,). The gradient is r A times that of log pi; 0 where A > 0 and r > 1 + clip_high, and
    where A < 0 and r < 1 - clip_low.
    """
    ratio = _log_ratio(log_probs, old_log_probs).exp()
    return _clipped(ratio, advantages, clip_low, clip_high)


def gspo(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    mean: Callable[[Tensor], Tensor],
    clip_low: float = defaults.GSPO_CLIP_LOW,
    clip_high: float = defaults.GSPO_CLIP_HIGH,
) -> Tensor:
    """min(s A, clip(s, 1 - clip_low, 1 + clip_high) A) of the sequence ratio s = exp(mean of log r).

    All (R,). mean: (R,) -> (R,), over the target tokens of each one's own response on all ranks; it
    is called once, without a gradient, on every rank. GSPO-token (equations 13 to 15): s enters as
    sg[s] pi / sg[pi], so the gradient of a term is s A times that of its own log pi, 0 where clipped.
    With one advantage per response, value and gradient of the loss equal those of GSPO (section 4.3).
    """
    log_ratio = _log_ratio(log_probs, old_log_probs)
    sequence = mean(log_ratio.detach()).detach()
    ratio = (sequence + (log_ratio - log_ratio.detach())).exp()
    return _clipped(ratio, advantages, clip_low, clip_high)


def truncated_importance(old_log_probs: Tensor, engine_log_probs: Tensor, cap: float) -> Tensor:
    """min(pi_old / pi_engine, cap) (R,), without a gradient: what to multiply terms or weights with
    where the engine that sampled had other probabilities than the trainer."""
    log_ratio = _log_ratio(old_log_probs.detach(), engine_log_probs.detach())
    return log_ratio.exp().clamp(max=cap)


def loss(terms: Tensor, weights: Tensor) -> Tensor:
    """-sum_r weights_r terms_r, a scalar, to be minimized.

    weights: (R,) 1 / (|y_i| N), |y_i| the target tokens of the whole response and N the responses of
    the whole mini-batch, over all micro-batches and ranks.
    """
    return -(terms * weights).sum()


@torch.no_grad()
def ratio_metrics(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    *,
    tau_pos: float = defaults.TAU_POS,
    tau_neg: float = defaults.TAU_NEG,
    band: float = 0.2,
) -> dict[str, Tensor]:
    """Sums of functions of r = pi / pi_old with the loss's weights, which add up over micro-batches
    and ranks. Divided by the sum of the weights they are means over each response's tokens, then over
    responses.

    ratio: of r. ratio_square: of (r - 1)^2; see `ratio_spread`. ratio_outside: of 1 where
    |r - 1| > band, else 0. gate: of SAPO's w = sech^2(tau / 2 (r - 1)).
    """
    ratio = _log_ratio(log_probs, old_log_probs).exp()
    tau, away = _temperature(ratio, advantages, tau_pos, tau_neg), ratio - 1
    gate = torch.cosh((tau / 2 * away).clamp(-40, 40)).square().reciprocal()
    return {
        "ratio": (ratio * weights).sum(),
        "ratio_square": (away.square() * weights).sum(),
        "ratio_outside": ((away.abs() > band) * weights).sum(),
        "gate": (gate * weights).sum(),
    }


def ratio_spread(ratio: float, ratio_square: float) -> float:
    """The standard deviation of r, from the means of `ratio_metrics` over the whole mini-batch."""
    return max(0.0, ratio_square - (ratio - 1) ** 2) ** 0.5


def _log_ratio(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """log(pi / pi_old), clamped, in fp32 or wider."""
    wide = torch.promote_types(log_probs.dtype, torch.float32)
    log_probs, old_log_probs = log_probs.to(wide), old_log_probs.to(wide)
    equal = log_probs == old_log_probs  # -inf - -inf is NaN
    log_ratio = torch.where(equal & log_probs.isinf(), 0.0, log_probs - old_log_probs)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def _temperature(ratio: Tensor, advantages: Tensor, tau_pos: float, tau_neg: float) -> Tensor:
    return torch.full_like(ratio, tau_neg).masked_fill(advantages > 0, tau_pos)


def _clipped(ratio: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """The pessimistic of r A and clip(r) A, where its gradient is that of the smaller."""
    return torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)
