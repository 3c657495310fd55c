"""The estimated memory of a step is that of its tensors."""

import weakref

import checkpoints
import numpy as np
import pytest
import torch
from test_equals_transformers import STEP, build
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.plan import memory
from qvl.tiny import model

TOKENS, RECORDS = 6144, 6


class Living(TorchDispatchMode):
    """The most bytes that tensors made or looked at under it held at one time."""

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.most = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if torch.is_tensor(tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, key)
        self.most = max(self.most, self.now)
        return out

    def _gone(self, key):
        self.now -= self.sizes.pop(key)


def most_of_a_step(folder, layout):
    from qvl.megatron import training
    from qvl.model.batch import make_batch

    prepared = training.prepare(
        build(folder, layout, again=True),
        STEP,
        9,
    )
    size = TOKENS // RECORDS
    line = {
        "records": list(map(str, range(RECORDS))),
        "lengths": [size] * RECORDS,
        "input_ids": np.random.default_rng(0).integers(0, 400, TOKENS).tolist(),
        "loss_weights": [[at * size + 1, (at + 1) * size, 1.0] for at in range(RECORDS)],
        "images": [],
        "grids": [],
    }
    batch = make_batch(line, load_shape(folder), None)
    with Living() as living:
        training.step(prepared, [batch], 1, checkpoints.sft_loss([line]))
    return living.most


@pytest.mark.parametrize(
    ("layout", "moe"), [("cp=2", False), ("tp=2", False), ("cp=2", True), ("ep=2,tp=2", True)]
)
def test_the_tensors_of_a_step_are_those_that_are_estimated(ranks, tmp_path, layout, moe):
    model.write(tmp_path, "xs", moe=moe, thinking=False, seed=0)
    shape, wanted = load_shape(tmp_path), parse_layout(layout)
    found = ranks(2, most_of_a_step, tmp_path, layout)
    estimated = memory.recomputing(shape, wanted, TOKENS, ranks=2, element=4)
    step = estimated.total - estimated.optimizer  # whose state comes with the step's last part
    assert max(found) == pytest.approx(step, rel=0.05)


@pytest.mark.parametrize("moe", [False, True])
def test_every_parameter_is_counted(tmp_path, moe):
    number = model.write(tmp_path, "xs", moe=moe, thinking=False, seed=0)
    estimated = memory.recomputing(load_shape(tmp_path), parse_layout(""), 1, ranks=1, element=4)
    assert estimated.weights == 4 * number == estimated.optimizer / 2
