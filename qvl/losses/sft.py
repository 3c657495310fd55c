"""The loss of supervised fine-tuning: weighted cross-entropy of the target tokens.

Shapes: R target tokens. With every weight 1 and `total` their number it is the plain token mean.
"""

from torch import Tensor


def sft(log_probs: Tensor, weights: Tensor, total: float) -> Tensor:
    """-sum_r weights_r * log_probs_r / total.

    log_probs: (R,) of the target tokens. weights: (R,). total: the sum of the weights of the whole
    batch, over all micro-batches and ranks, so that the losses of its parts add up to the batch's.
    """
    return -(log_probs.float() * weights).sum() / total
