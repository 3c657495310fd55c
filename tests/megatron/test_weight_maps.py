"""Weights go to Megatron and back without a bit changed."""

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_equals_transformers import build


def there_and_back(folder, target, layout=""):
    from qvl.megatron import weights
    from qvl.model.folder import Folder

    weights.write(build(folder, layout), Folder(folder), target)


def same_bits(one, other):
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_a_checkpoint_comes_back_bit_for_bit(ranks, request, tmp_path, kind):
    folder = request.getfixturevalue(kind)
    ranks(1, there_and_back, folder, tmp_path / "back")
    same_bits(folder, tmp_path / "back")
    assert (tmp_path / "back/config.json").read_text() == (folder / "config.json").read_text()


@pytest.mark.parametrize(
    ("count", "layout"), [(4, "tp=4"), (8, "tp=8"), (8, "tp=4,pp=2"), (4, "pp=4")]
)
def test_the_tower_and_the_rest_survive_every_split(ranks, tmp_path, count, layout):
    """The tower has the 16 heads of the released models; its qkv is one tensor."""
    folder = checkpoints.write_checkpoint(
        tmp_path / "whole", moe=False, tied=True, layers=8, kv_heads=8, vision_heads=16
    )
    ranks(count, there_and_back, folder, tmp_path / "back", layout)
    same_bits(folder, tmp_path / "back")
    assert any(".attn.qkv." in name for name in load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("layout", ["ep=2,pp=2", "tp=2,ep=4"])
def test_experts_survive_every_split(ranks, moe, tmp_path, layout):
    ranks(4, there_and_back, moe, tmp_path / "back", layout)
    same_bits(moe, tmp_path / "back")


def test_bf16_and_experts_stored_in_out_come_back_bit_for_bit(ranks, moe, tmp_path):
    tensors = load_file(moe / "model.safetensors")
    for name, tensor in tensors.items():
        turned = tensor.transpose(1, 2) if ".experts." in name else tensor
        tensors[name] = turned.to(torch.bfloat16).contiguous()
    stored = tmp_path / "stored"
    stored.mkdir()
    save_file(tensors, stored / "model.safetensors", metadata={"format": "pt"})
    (stored / "config.json").write_bytes((moe / "config.json").read_bytes())
    ranks(1, there_and_back, stored, tmp_path / "back")
    same_bits(stored, tmp_path / "back")


def test_transformers_loads_what_comes_back(ranks, dense, tmp_path):
    ranks(1, there_and_back, dense, tmp_path / "back")
    line = checkpoints.pack(3)
    with torch.no_grad():
        one, other = (
            checkpoints.reference_logits(checkpoints.load_reference(folder), line)
            for folder in (dense, tmp_path / "back")
        )
    assert torch.equal(one, other)
