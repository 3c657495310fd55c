"""The loss of packs that are not trained on. Imported once ranks have started."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qvl.media.loader import Loader
from qvl.megatron import image_sharing, parallel, schedule, training
from qvl.megatron.output import Output
from qvl.model.batch import Batch
from qvl.pack.packed_file import PackedFile
from qvl.train.dataloader import DataLoader
from qvl.train.sampler import balanced


class InOrder:
    """Every pack once, in one step; some twice, so that the ranks have equally many."""

    def __init__(self, count: int, multiple: int) -> None:
        self.batch = -(-count // multiple) * multiple
        self._packs = [place % count for place in range(self.batch)]

    def step(self, number: int) -> list[int]:
        return self._packs


class Validation:
    """Measures the loss of the packs of a file: that of training, without its gradient."""

    def __init__(
        self,
        trainer: training.Trainer,
        packs: PackedFile,
        images: Loader | None,
        *,
        cost: Callable[[int], float],
        workers: int | None,
    ) -> None:
        self.trainer, self.packs, self.images = trainer, packs, images
        self.cost, self.workers = cost, workers
        self.data_rank = parallel.data_rank()
        config = trainer.model.config
        stages = config.pipeline_model_parallel_size if len(trainer.chunks) > 1 else 1
        self._order = InOrder(len(packs), self.data_rank[1] * stages)

    def loss(self) -> float:
        """The mean over the target tokens of all packs, by their weights. Every rank calls."""
        model = self.trainer.model
        self.trainer.wait_for_parameters()
        was_training = model.training
        model.eval()  # in training, Megatron would note the experts' load-balancing loss
        with DataLoader(
            self.packs,
            self._order,
            model.shape,
            self.images,
            cost=self.cost,
            data_rank=self.data_rank,
            steps=range(1, 2),
            share=image_sharing.share(),
            workers=self.workers,
        ) as data:
            found = schedule.run(
                model.chunks, self._weighed(data), data.count, _sums, backward=False
            )
        model.train(was_training)
        total, weight = parallel.total(
            [float(sum(each[place] for each in found)) for place in (0, 1)]
        )
        return total / weight

    def _weighed(self, data: DataLoader) -> Iterator[Batch]:
        """The micro-batches of this rank. A pack that comes twice counts half each time."""
        packs = self._order.step(1)
        times = Counter(packs)
        own = balanced(packs, self.cost, *self.data_rank)
        for index, batch in zip(own, data.batches(), strict=True):
            batch.columns["weight"] /= times[index]
            yield batch


def _sums(output: Output) -> tuple[Tensor, Any]:
    weights = output.batch.columns["weight"]
    terms = -output.log_probs() * weights
    return terms.new_zeros(()), torch.stack([terms.sum(), weights.sum()]).double()
