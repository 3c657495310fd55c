"""Every rank writes its own part of the Hugging Face folder, and together they write all of it."""

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_equals_transformers import build

LIMIT = 30_000  # bytes of a file: fewer than the weights of the checkpoints here


def shares(folder, target, layout):
    """What this rank wrote: (name, slice, bytes) of each, and whether it saw the target before the end."""
    from qvl.megatron import weights
    from qvl.model.folder import Folder
    from qvl.model.folder_writer import FolderWriter

    written, seen = [], []
    plain = FolderWriter.write

    def watched(self, name, tensor, at=None):
        written.append((name, at, tensor.nbytes))
        seen.append(target.exists())
        plain(self, name, tensor, at)

    FolderWriter.write = watched
    weights.write(build(folder, layout), Folder(folder), target)
    return written, any(seen)


@pytest.mark.parametrize(
    ("count", "kind", "layout"),
    [
        (2, "dense", "tp=2"),
        (2, "dense", "pp=2"),
        (2, "dense", "cp=2"),
        (2, "dense", ""),
        (2, "moe", "ep=2"),
        (4, "moe", "tp=2,ep=2"),
        (4, "moe", "ep=2,pp=2"),
        (4, "dense", "tp=2"),
        (8, "moe", "tp=2,cp=2,ep=2"),
    ],
)
def test_each_tensor_is_written_once_and_no_rank_writes_much_more_than_its_share(
    ranks, folders, dense, tmp_path, count, kind, layout
):
    folder = dense if kind == "dense" else folders["moe"]
    target = tmp_path / "target"
    results = ranks(count, shares, folder, target, layout)
    tensors = load_file(folder / "model.safetensors")
    found = load_file(target / "model.safetensors")
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
    parts = [part for written, _ in results for part in written]
    assert len({(name, at) for name, at, _ in parts}) == len(parts)
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert sum(size for *_, size in parts) == total
    assert not any(seen for _, seen in results)
    assert {path.name for path in tmp_path.iterdir()} == {"target"}
    largest = max(size for *_, size in parts)
    for written, _ in results:
        assert (
            0
            < sum(size for *_, size in written)
            <= total / count + stage_excess(layout, tensors) + largest
        )


def stage_excess(layout, tensors):
    """Stages differ in what they have: the first has the tower and the embedding."""
    if "pp" not in layout:
        return 0
    first = [x.nbytes for name, x in tensors.items() if ".visual." in name or "embed" in name]
    return sum(first)


def test_a_tied_head_that_is_stored_and_several_files_are_written_too(ranks, dense, tmp_path):
    tensors = load_file(dense / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.language_model.embed_tokens.weight"].clone()
    stored = tmp_path / "stored"
    stored.mkdir()
    files = {name: f"model-{i % 3}.safetensors" for i, name in enumerate(tensors)}
    for file in set(files.values()):
        own = {name: tensors[name] for name in tensors if files[name] == file}
        save_file(own, stored / file, metadata={"format": "pt"})
    index = json.dumps({"metadata": {}, "weight_map": files})
    (stored / "model.safetensors.index.json").write_text(index)
    (stored / "config.json").write_bytes((dense / "config.json").read_bytes())
    ranks(2, shares, stored, tmp_path / "target", "pp=2")
    for path in stored.iterdir():
        assert (tmp_path / "target" / path.name).read_bytes() == path.read_bytes(), path.name


def without_room(folder, target, layout) -> str:
    """The error of a rank, of which one cannot write as much as the others."""
    from qvl.errors import UserError
    from qvl.megatron import parallel, weights
    from qvl.model.folder import Folder

    model, source = build(folder, layout), Folder(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if parallel.rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        weights.write(model, source, target)
    except UserError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return ""


def test_a_rank_that_cannot_write_is_an_error_on_every_rank_and_leaves_nothing(
    ranks, dense, tmp_path
):
    target = tmp_path / "target"
    assert (dense / "model.safetensors").stat().st_size > 2 * LIMIT
    for error in ranks(2, without_room, dense, target, "tp=2"):
        assert error == f"{target}: File too large"
    assert list(tmp_path.iterdir()) == []


def unseen(folder: Path, target: Path) -> str:
    """The error of a rank where the folder lies in the memory of another machine."""
    from qvl.errors import UserError
    from qvl.megatron import weights
    from qvl.model.folder import Folder
    from qvl.model.folder_writer import FolderWriter

    model = build(folder, "tp=2")
    FolderWriter.begin = lambda self: None
    try:
        weights.write(model, Folder(folder), target)
    except UserError as error:
        return str(error)
    return ""


def test_a_folder_that_not_every_machine_sees_is_an_error_that_says_so(ranks, dense, tmp_path):
    for error in ranks(2, unseen, dense, tmp_path / "target"):
        assert "not every machine sees this folder; choose one that they share" in error


def test_a_folder_with_a_tensor_that_the_model_lacks_is_refused_before_training(
    ranks, dense, tmp_path
):
    tensors = load_file(dense / "model.safetensors")
    stored = tmp_path / "stored"
    stored.mkdir()
    save_file({**tensors, "model.extra": torch.ones(1)}, stored / "model.safetensors")
    (stored / "config.json").write_bytes((dense / "config.json").read_bytes())
    (error,) = ranks(1, refused, stored)
    assert error == f"{stored}: model.extra is not a tensor of the model in config.json"


def refused(folder: Path) -> str:
    from qvl.errors import UserError

    try:
        build(folder, "")
    except UserError as error:
        return str(error)
    return ""
