"""The loss of supervised fine-tuning: weighted cross-entropy of the tokens to learn.

Shapes: R tokens to learn. With every weight 1 and `total` their number it is the plain token mean.
"""

from torch import Tensor


def sft(losses: Tensor, weights: Tensor, total: float) -> Tensor:
    """sum_r weights_r * losses_r / total.

    losses: (R,) cross-entropies. weights: (R,). total: the sum of the weights of the whole batch,
    over all micro-batches and ranks, so that the parts of a batch add up to its loss.
    """
    return (losses.float() * weights).sum() / total
