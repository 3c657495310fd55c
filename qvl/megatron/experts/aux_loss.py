"""The load-balancing loss of experts (arXiv 2101.03961, equation 4), as a mean over tokens."""

from megatron.core.transformer.moe.moe_utils import (
    clear_aux_losses_tracker,
    get_moe_layer_wise_logging_tracker,
)

from qvl.megatron import parallel, workarounds
from qvl.megatron.qwen3vl import LocalModel


def weigh(model: LocalModel, coefficient: float, tokens: int) -> None:
    """Make the load-balancing loss of a batch of `tokens` tokens, over all ranks, the mean over
    them of that of their pack.

    Megatron multiplies each rank's by its tokens, to divide by the number of target tokens, which
    our losses have done already.
    """
    config = model.config
    sharers = 1
    if not workarounds.aux_loss_counts_sharers():
        sharers = config.context_parallel_size
        if config.sequence_parallel:
            sharers *= config.tensor_model_parallel_size
    config.moe_aux_loss_coeff = coefficient * sharers / tokens


def mean(model: LocalModel, count: int) -> float:
    """The load-balancing loss, 1 where all experts are equally busy: a mean over layers and the
    `count` packs of every rank. Megatron has noted each rank's part of the sum."""
    noted = get_moe_layer_wise_logging_tracker().values()
    sum_over_ranks = parallel.world_sum(float(sum(each["values"].sum() for each in noted)))
    clear_aux_losses_tracker()
    return sum_over_ranks / (model.config.num_layers * count * parallel.data_rank()[1])
