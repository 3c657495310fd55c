"""The tower, its positions and the patches equal those of transformers."""

from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import IMAGE, PATCH, load_reference, write_checkpoint
from PIL import Image

from qvl.media.patches import ImageRules, smart_resize
from qvl.model import rope
from qvl.model.shape import VisionShape, load_shape
from qvl.model.vision import VisionTower, recompute


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"), moe=False, tied=True)


def test_the_tower_equals_transformers(folder):
    reference = load_reference(folder).model.visual
    tower = VisionTower(load_shape(folder).vision)
    tower.load_state_dict(reference.state_dict())
    grids = [(1, 4, 4), (1, 4, 4), (1, 6, 4), (1, 20, 18), (2, 4, 6)]
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 6 * PATCH**2)
    with torch.no_grad():
        tokens, deep = tower(patches, grids)
        theirs = reference(patches, grid_thw=torch.tensor(grids))
    torch.testing.assert_close(tokens, theirs.pooler_output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deep, torch.stack(theirs.deepstack_features), rtol=1e-4, atol=1e-5)


def test_recomputation_gives_the_same_results_and_stores_no_activations(folder):
    torch.manual_seed(0)
    tower = VisionTower(load_shape(folder).vision)
    grids = [(1, 4, 4), (1, 4, 4), (1, 4, 4), (1, 6, 4), (1, 20, 18), (2, 4, 6)]
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 6 * PATCH**2)
    found, kept = [], []
    for see in (tower, lambda *given: recompute(tower, *given, at_once=40)):
        tower.zero_grad()
        sizes = {}

        def note(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            tokens, deep = see(patches, grids)
        kept.append(sum(sizes.values()))
        (tokens.square().sum() + deep.square().sum()).backward()
        found.append([tokens, deep, *(each.grad for each in tower.parameters())])
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert kept[1] < kept[0] / 4


def test_positions_and_angles_equal_transformers(folder):
    model, shape = load_reference(folder).model, load_shape(folder)
    grids = [(1, 6, 4), (1, 20, 18)]
    ids = [5, 6, *[IMAGE] * 6, 7, 8, *[IMAGE] * 90, 9]
    tensor = torch.tensor([ids])
    theirs, _ = model.get_rope_index(
        tensor, mm_token_type_ids=(tensor == IMAGE).int(), image_grid_thw=torch.tensor(grids)
    )
    seen = np.array([*ids, 1, 2, 3]) == IMAGE
    ours = rope.positions(seen, [len(ids), 3], grids, 2)
    assert ours[:, : len(ids)].tolist() == theirs[:, 0].tolist()
    assert ours[:, len(ids) :].tolist() == [[0, 1, 2]] * 3
    turned = rope.angles(
        torch.from_numpy(ours[:, : len(ids)]), shape.head_dim, shape.rope_theta, shape.mrope_section
    )
    cosine, sine = model.language_model.rotary_emb(torch.zeros(1), theirs)
    torch.testing.assert_close(turned.cos(), cosine[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(turned.sin(), sine[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (100, 37), (999, 500), (20, 20), (300, 33)])
def test_patches_equal_transformers_to_the_bit(size):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    common: dict[str, Any] = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4096, "longest_edge": 262144},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        **common,
    )
    rules = ImageRules(
        min_pixels=4096, max_pixels=262144, mean=(0.5,) * 3, std=(0.5,) * 3, **common
    )
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    image = Image.fromarray(values)
    theirs = processor(image, return_tensors="pt")
    patches, grid = rules.patches(image)
    assert [list(grid)] == theirs["image_grid_thw"].tolist()
    assert np.array_equal(patches, theirs["pixel_values"].numpy())


def test_sizes_equal_transformers():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    draw = np.random.default_rng(1)
    sizes = draw.integers(1, 3000, (500, 2)).tolist()
    sizes += [(short, long) for short in range(1, 50) for long in range(short, 200 * short, 37)]
    for height, width in sizes:
        if max(height, width) > 200 * min(height, width):
            continue
        for least in (4096, 65536):
            for one, other in ((height, width), (width, height)):
                expected = theirs(one, other, 32, least, 1 << 20)
                assert smart_resize(one, other, 32, least, 1 << 20) == tuple(expected)


def test_a_side_is_never_0_and_a_thin_image_is_refused():
    assert smart_resize(10, 1000, 32, 0, 1 << 20)[0] == 32
    with pytest.raises(ValueError, match="thinner"):
        smart_resize(5, 2000, 32, 4096, 1 << 20)


def test_frames_of_a_video_attend_alone():
    shape = VisionShape(
        depth=2,
        hidden=16,
        ffn=16,
        heads=2,
        channels=3,
        patch=2,
        temporal_patch=2,
        merge=2,
        out_hidden=8,
        num_positions=16,
        deepstack_layers=(0,),
    )
    tower = VisionTower(shape)
    patches = torch.randn(2 * 16, shape.patch_values)
    with torch.no_grad():
        both, _ = tower(patches, [(2, 4, 4)])
        last, _ = tower(patches[16:], [(1, 4, 4)])
    torch.testing.assert_close(both[4:], last)
