"""The count of operations against torch's own count of what transformers computes."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from qvl.model import flops
from qvl.model.shape import load_shape
from qvl.pack.packed import Size

ROWS, COLUMNS = 4, 8  # of patches


@pytest.mark.parametrize("name", ["dense", "moe"])
def test_the_forward_pass_is_what_torch_counts(name, request):
    from transformers import AutoModelForImageTextToText

    folder: Path = request.getfixturevalue(name)
    shape = load_shape(folder)
    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    image = ROWS * COLUMNS // shape.vision.merge**2
    ids = torch.tensor([[1, 2, *[shape.image_id] * image, 3, 4, 5]])
    patches = torch.randn(ROWS * COLUMNS, shape.vision.patch_values)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(
            input_ids=ids,
            mm_token_type_ids=(ids == shape.image_id).int(),
            pixel_values=patches,
            image_grid_thw=torch.tensor([[1, ROWS, COLUMNS]]),
        )
    tokens = ids.shape[1]
    size = Size(
        tokens=tokens,
        squares=2 * tokens**2,  # torch counts the scores that the mask hides, too
        targets=tokens,  # and transformers computes every token's logits
        patches=ROWS * COLUMNS,
        patch_squares=(ROWS * COLUMNS) ** 2,
    )
    mine = (
        flops.language(shape, size)
        + flops.vision(shape.vision, size)
        + flops.mergers(shape.vision, size)
    )
    assert mine == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_frozen_parts_are_passed_through_or_not_at_all(dense):
    shape = load_shape(dense)
    size = Size(tokens=100, squares=5000, targets=50, patches=64, patch_squares=64**2)
    whole = flops.training(shape, size)
    language = flops.language(shape, size)
    vision = flops.vision(shape.vision, size)
    mergers = flops.mergers(shape.vision, size)
    assert whole == 3 * (language + vision + mergers)
    assert flops.training(shape, size, ["language"]) == whole - language
    assert flops.training(shape, size, ["vision"]) == whole - 2 * vision
    assert flops.training(shape, size, ["vision", "merger"]) == 3 * language + vision + mergers
    assert flops.training(shape, size, ["merger"]) == whole - mergers


def test_the_usual_devices_are_known_by_their_names():
    assert flops.peak_teraflops("NVIDIA H100 80GB HBM3") == 989
    assert flops.peak_teraflops("some other") is None
