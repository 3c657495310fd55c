"""A folder that is written like another: the bytes of safetensors, complete or absent."""

import json
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

from qvl.model.folder import Folder
from qvl.model.folder_writer import FolderWriter, staging_folder, write_like

TENSORS = {
    "b.weight": torch.randn(3, 5),
    "a.weight": torch.randn(7).bfloat16(),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "wide": torch.randn(2, 2, dtype=torch.float64),
    "nan": torch.tensor([float("nan"), -0.0]),
}
OTHERS = {name: torch.ones_like(tensor) for name, tensor in TENSORS.items()}


def make(folder, shards=1, tensors=TENSORS):
    """A folder of those tensors in so many files, with a configuration and a tokenizer."""
    folder.mkdir(parents=True)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        files = {name: f"part-{i % shards}.safetensors" for i, name in enumerate(tensors)}
        for file in set(files.values()):
            own = {name: tensors[name] for name in tensors if files[name] == file}
            save_file(own, folder / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": files}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("[1]")
    return Folder(folder)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("shards", [1, 3])
def test_the_files_have_the_bytes_that_safetensors_writes(tmp_path, shards):
    source = make(tmp_path / "source", shards)
    write_like(source, tmp_path / "target", TENSORS.__getitem__)
    assert files(tmp_path / "target") == files(tmp_path / "source")


def test_values_take_the_type_of_the_other_folder(tmp_path):
    source = make(tmp_path / "source")
    write_like(source, tmp_path / "target", lambda name: TENSORS[name].double())
    assert files(tmp_path / "target") == files(tmp_path / "source")


def test_slices_of_a_tensor_may_be_written_in_any_order_by_several_writers(tmp_path):
    source, target = make(tmp_path / "source"), tmp_path / "target"
    writers = [FolderWriter(source, target, staging_folder(target)) for _ in range(2)]
    writers[0].begin()
    for name, tensor in TENSORS.items():
        if name == "b.weight":
            for at in (2, 0, 1):
                writers[at % 2].write(name, tensor[at], at)
        else:
            writers[1].write(name, tensor)
        assert not target.exists()
    writers[0].finish()
    assert files(target) == files(source.path)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}


@pytest.mark.parametrize("shards", [(1, 3), (3, 1), (3, 2)])
def test_an_older_model_in_the_place_is_replaced_whatever_its_files(tmp_path, shards):
    before, after = shards
    make(tmp_path / "target", before, OTHERS)
    (tmp_path / "target" / "log.jsonl").write_text("kept")
    source = make(tmp_path / "source", after)
    write_like(source, tmp_path / "target", TENSORS.__getitem__)
    found = Folder(tmp_path / "target")
    assert set(found.names) == set(TENSORS)
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(found.get(name), tensor, rtol=0, atol=0, equal_nan=True)
    assert (tmp_path / "target" / "log.jsonl").read_text() == "kept"
    assert not staging_folder(tmp_path / "target").exists()


def test_a_folder_can_be_written_onto_itself(tmp_path):
    source = make(tmp_path / "source")
    write_like(source, source.path, OTHERS.__getitem__)
    for name, tensor in load_file(source.path / "model.safetensors").items():
        assert torch.equal(tensor, OTHERS[name])
    assert (source.path / "config.json").read_text() == "{}"


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path, exists):
    big = {"weight": torch.randn(100_000)}
    source, target = make(tmp_path / "source", tensors=big), tmp_path / "target"
    if exists:
        make(target, tensors=OTHERS)
    before = files(target) if exists else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write_like(source, target, big.__getitem__)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (files(target) if exists else target.exists()) == (before or False)
    assert not staging_folder(target).exists()


def test_what_an_interrupted_run_left_is_no_obstacle(tmp_path):
    source, target = make(tmp_path / "source"), tmp_path / "target"
    left = FolderWriter(source, target, staging_folder(target))
    left.begin()
    (left.staging / "torn.safetensors").write_text("x")
    write_like(source, target, TENSORS.__getitem__)
    assert files(target) == files(source.path)


def test_a_tensor_of_another_shape_is_an_error(tmp_path):
    source = make(tmp_path / "source")
    with pytest.raises(ValueError, match=r"expected the shape \[.*\], got \[9\]"):
        write_like(source, tmp_path / "target", lambda name: torch.zeros(9))
    assert not (tmp_path / "target").exists()


def test_bytes_that_do_not_read_back_are_an_error(tmp_path, monkeypatch):
    source = make(tmp_path / "source")
    monkeypatch.setattr("os.preadv", lambda file, buffers, start: len(buffers[0]))
    with pytest.raises(OSError, match="does not read back as it was written"):
        write_like(source, tmp_path / "target", TENSORS.__getitem__)
