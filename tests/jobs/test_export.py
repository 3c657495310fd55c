"""`qvl import` and `qvl export`: there and back at any layout, every tensor the same bits."""

import shutil

import pytest
import torch
from checkpoints import write_checkpoint
from safetensors.torch import load_file, save_file
from shells import shell


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("export")
    (made / "twin").symlink_to(twin)
    write_checkpoint(made / "moe", moe=True, tied=False, layers=4)
    return made


@pytest.mark.parametrize(
    ("name", "there", "back"),
    [
        ("twin", "", "--layout pp=2"),
        ("twin", "--layout tp=1,pp=2", ""),
        ("moe", "--layout tp=2,ep=2", "--layout ep=2,pp=2"),
    ],
)
def test_what_comes_back_is_the_same_bits(folder, name, there, back):
    sh = shell(folder)
    shutil.rmtree(folder / "twin2", ignore_errors=True)
    shutil.rmtree(folder / "ckpt", ignore_errors=True)
    done = sh(
        f"qvl import {name} ckpt {there} && qvl export ckpt twin2 {back}", OMP_NUM_THREADS="1"
    )
    assert done.returncode == 0, done.stderr
    before, after = (load_file(folder / x / "model.safetensors") for x in (name, "twin2"))
    assert list(before) == list(after)
    for tensor, tensor2 in zip(before.values(), after.values(), strict=True):
        assert tensor.dtype == tensor2.dtype and tensor.equal(tensor2)
    assert sh(f"diff -r --exclude model.safetensors {name} twin2").stdout == ""


def test_what_is_no_checkpoint_or_there_already_is_one_line(folder):
    sh = shell(folder)
    for line, told in [
        ("qvl export twin out", "no Megatron checkpoint of qvl sft or qvl import"),
        ("qvl export twin twin", "is there already"),
        ("qvl import twin x --layout tp=5", "does not divide the model's"),
    ]:
        done = sh(line)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert told in done.stderr


def test_a_tensor_of_another_shape_is_named(folder):
    bad = folder / "bad"
    shutil.copytree(folder / "moe", bad)
    tensors = load_file(bad / "model.safetensors")
    tensors["model.language_model.norm.weight"] = torch.ones(1)
    save_file(tensors, bad / "model.safetensors", metadata={"format": "pt"})
    done = shell(folder)("qvl import bad ckpt3 --layout pp=2", OMP_NUM_THREADS="1")
    assert done.returncode == 2
    assert "model.language_model.norm.weight of shape (1,)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "ckpt3").exists()
