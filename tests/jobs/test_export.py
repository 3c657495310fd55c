"""`qvl import` and `qvl export`: there and back, every tensor the same bits."""

import os
import pickle
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
    turned = made / "turned"  # bf16, and experts stored in, out, as those of Qwen3-VL-MoE are
    shutil.copytree(made / "moe", turned)
    tensors = load_file(turned / "model.safetensors")
    for name, tensor in tensors.items():
        own = tensor.transpose(1, 2) if ".experts." in name else tensor
        tensors[name] = own.to(torch.bfloat16).contiguous()
    save_file(tensors, turned / "model.safetensors", metadata={"format": "pt"})
    return made


@pytest.mark.parametrize(
    ("name", "there"),
    [("twin", "--layout tp=1,pp=2"), ("moe", "--layout tp=2,ep=2"), ("turned", "")],
)
def test_what_comes_back_is_the_same_bits(folder, name, there):
    sh = shell(folder)
    shutil.rmtree(folder / "twin2", ignore_errors=True)
    shutil.rmtree(folder / "ckpt", ignore_errors=True)
    done = sh(f"qvl import {name} ckpt {there} && qvl export ckpt twin2", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2
    before, after = (load_file(folder / x / "model.safetensors") for x in (name, "twin2"))
    assert list(before) == list(after)
    for tensor, tensor2 in zip(before.values(), after.values(), strict=True):
        assert tensor.dtype == tensor2.dtype and tensor.equal(tensor2)
    assert sh(f"diff -r --exclude model.safetensors {name} twin2").stdout == ""


@pytest.fixture(scope="module")
def imported(folder):
    assert shell(folder)("qvl import moe whole").returncode == 0
    return folder / "whole"


def test_a_checkpoint_that_is_truncated_missing_or_lacks_a_piece_is_one_line(imported, tmp_path):
    sh = shell(tmp_path)

    def truncated(place):
        os.truncate(place / "__0_0.distcp", 100_000)

    def missing(place):
        (place / "__0_0.distcp").unlink()

    def corrupted(place):
        (place / ".metadata").write_bytes(b"x")

    def short(place):
        metadata = pickle.loads((place / ".metadata").read_bytes())
        del metadata.state_dict_metadata["vision.pos_embed.weight"].chunks[0]
        (place / ".metadata").write_bytes(pickle.dumps(metadata))

    for harm, message in (
        (truncated, "cannot read"),
        (missing, "No such file"),
        (corrupted, "not a Megatron checkpoint"),
        (short, "a part of vision.pos_embed.weight is missing"),
    ):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(imported, tmp_path / "bad")
        harm(tmp_path / "bad" / "megatron")
        done = sh("qvl export bad out")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert message in done.stderr
        assert not (tmp_path / "out" / "config.json").exists()


def test_a_disk_that_is_full_is_one_line_and_leaves_no_checkpoint(folder, imported):
    sh = shell(folder)
    for line in ("qvl import moe small", "qvl export whole small"):
        done = sh(f"ulimit -f 100; {line}")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "File too large" in done.stderr
        assert not (folder / "small" / "config.json").exists()
        assert not (folder / "small" / "megatron").exists()
        shutil.rmtree(folder / "small", ignore_errors=True)


def test_what_is_no_checkpoint_or_exists_already_is_one_line(folder):
    sh = shell(folder)
    for line, message in [
        ("qvl export twin out", "not a Megatron checkpoint of qvl sft or qvl import"),
        ("qvl export twin twin", "exists and is not empty"),
        ("qvl import twin x --layout tp=5", "does not divide the model's"),
    ]:
        done = sh(line)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert message in done.stderr


def test_a_tensor_of_another_shape_is_named(folder):
    bad = folder / "bad"
    shutil.copytree(folder / "moe", bad)
    tensors = load_file(bad / "model.safetensors")
    tensors["model.language_model.norm.weight"] = torch.ones(1)
    save_file(tensors, bad / "model.safetensors", metadata={"format": "pt"})
    done = shell(folder)("qvl import bad ckpt3")
    assert done.returncode == 2
    assert "model.language_model.norm.weight of shape (1,)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "ckpt3").exists()


def test_a_tied_folder_that_stores_its_head_comes_back(folder, twin, tmp_path):
    shutil.copytree(twin, tmp_path / "tied")
    weights = load_file(twin / "model.safetensors")
    weights["lm_head.weight"] = weights["model.language_model.embed_tokens.weight"].clone()
    save_file(weights, tmp_path / "tied/model.safetensors", metadata={"format": "pt"})
    sh = shell(tmp_path)
    done = sh("umask 002; qvl import tied ckpt && qvl export ckpt back")
    assert done.returncode == 0, done.stderr
    after = load_file(tmp_path / "back/model.safetensors")
    assert after.keys() == weights.keys()
    assert all(after[name].equal(weights[name]) for name in after)
    assert (tmp_path / "back/model.safetensors").stat().st_mode & 0o777 == 0o664
    weights["lm_head.weight"] += 1
    save_file(weights, tmp_path / "tied/model.safetensors", metadata={"format": "pt"})
    done = sh("qvl import tied other")
    assert done.returncode == 2 and "lm_head.weight differs from" in done.stderr
    assert len(done.stderr.splitlines()) == 1


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile-was-here",)


@pytest.mark.parametrize("name", [".metadata", "common.pt"])
def test_a_checkpoint_that_brings_code_is_refused_and_not_run(imported, tmp_path, name):
    shutil.copytree(imported, tmp_path / "evil")
    place = tmp_path / "evil/megatron" / name
    if name == ".metadata":
        place.write_bytes(pickle.dumps(Hostile()))
    else:
        torch.save({"state": Hostile()}, place)
    done = shell(tmp_path)("qvl export evil out")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1 and name in done.stderr
    assert not (tmp_path / "hostile-was-here").exists() and not (tmp_path / "out").exists()
