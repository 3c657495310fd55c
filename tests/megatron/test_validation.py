"""The validation loss is transformers' over every pack, at any layout, and changes no weight."""

import checkpoints
import pytest
from test_equals_transformers import STEP, build

from qvl.io import jsonl

LINES = [checkpoints.pack(seed, images=False) for seed in range(5)]  # two ranks see one twice


def measured(folder, packed, layout):
    from pathlib import Path

    from qvl.megatron import parallel, training
    from qvl.pack.packed_file import PackedFile
    from qvl.train.validation import Validation

    trainer = training.prepare(build(folder, layout), STEP, 4)
    packs = PackedFile([packed], Path(packed).parent, parallel.on_first)
    validation = Validation(
        trainer, packs, None, cost=lambda index: packs.size(index).tokens, workers=0
    )
    return [validation.loss() for _ in range(2)]


@pytest.mark.parametrize(("count", "layout"), [(2, "tp=1"), (2, "pp=2,vp=2"), (4, "tp=2,cp=2")])
def test_the_validation_loss_is_that_of_transformers(ranks, folders, tmp_path, count, layout):
    packed = str(tmp_path / "packed.jsonl.zst")
    jsonl.write(LINES, packed)
    expected = checkpoints.reference_loss(checkpoints.load_reference(folders["tied"]), LINES)
    for found in ranks(count, measured, folders["tied"], packed, layout):
        assert found == pytest.approx([expected.item()] * 2, rel=1e-6)
