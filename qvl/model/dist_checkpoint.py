"""The weights in Megatron's distributed checkpoints, one at a time: no model, no Megatron, no ranks.

Such a checkpoint is one of torch.distributed.checkpoint, whose tensors are cut in pieces that any
number of ranks reads; metadata.json and common.pt are what Megatron looks for beside it.
"""

import io
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    ReadItem,
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list
from torch.distributed.checkpoint.state_dict_saver import save

from qvl.errors import UserError
from qvl.model import merge, weight_map
from qvl.model.folder import Folder
from qvl.model.shape import Shape

FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


class Stored(merge.Whole):
    """The tensors of the checkpoint in `path`, as `folder` names and shapes them."""

    def __init__(self, path: Path, folder: Folder, shape: Shape) -> None:
        """UserError where there is no checkpoint."""
        self._reader = FileSystemReader(path)
        try:
            self._metadata: Metadata = self._reader.read_metadata()
        except (OSError, UnpicklingError, EOFError) as error:
            raise UserError(f"{path}: no Megatron checkpoint: {error}") from None
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=True)
        self._path = path
        super().__init__((name for name, _ in merge.parameters(shape)), folder, shape)

    def put_together(self, name: str) -> Tensor:
        key, place = weight_map.on_disk(name)
        known = self._metadata.state_dict_metadata.get(key)
        if not isinstance(known, TensorStorageMetadata):
            raise UserError(f"{self._path}: lacks {key}")
        dims = known.size[len(place) :]
        found = torch.empty((*[1] * len(place), *dims), dtype=known.properties.dtype)
        wanted = ChunkStorageMetadata(torch.Size([*place, *[0] * len(dims)]), found.shape)
        pieces = create_read_items_for_chunk_list(key, known, [wanted])
        if sum(math.prod(each.lengths) for each in pieces) != found.numel():
            raise UserError(f"{self._path}: lacks a part of {key}, at {list(place)}")
        try:
            self._reader.read_data(LoadPlan(pieces), _Into(found)).wait()
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:  # gone, cut or spoilt
            raise UserError(f"{self._path}: cannot read {key}: {error or 'it is cut'}") from None
        return found.view(dims)


class _Into(DefaultLoadPlanner):
    """Puts the pieces that are read in their places."""

    def __init__(self, found: Tensor) -> None:
        super().__init__()
        self.found = found

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        spans = zip(read_item.dest_offsets, read_item.lengths, strict=True)
        return self.found[tuple(slice(start, start + count) for start, count in spans)]

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        """It is a view of `found`."""


def write(folder: Folder, shape: Shape, path: Path) -> None:
    """The weights of a Hugging Face folder as a checkpoint in the new folder `path`, at step 0.

    UserError where its tensors are not those that its config.json implies, before anything is written.
    """
    merge.check(folder, shape)
    path.mkdir(parents=True)
    writer = FileSystemWriter(path, thread_count=1)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a single process
            save({}, storage_writer=writer, planner=_Reading(folder, shape), no_dist=True)
    except CheckpointException as error:
        raise _cause(error.failures[0][0]) from None
    torch.save({"state": {"step": 0}}, path / "common.pt")
    (path / "metadata.json").write_text(json.dumps(FORMAT))


def _cause(error: BaseException) -> BaseException:
    """A full disk, say, where torch's zip writer complains of what came of it."""
    inner: BaseException | None = error
    while inner and not isinstance(inner, OSError | UserError):
        inner = inner.__context__
    return inner or error


class _Reading(DefaultSavePlanner):
    """Reads each parameter from the folder when it is about to be written."""

    def __init__(self, folder: Folder, shape: Shape) -> None:
        super().__init__(flatten_state_dict=False)
        self.folder, self.shape = folder, shape
        self._names: dict[tuple[str, tuple[int, ...]], str] = {}
        self._latest: tuple[str, Tensor] = ("", torch.empty(0))

    def create_local_plan(self) -> SavePlan:
        self.plan = SavePlan(list(self._items()))
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> Any:
        if write_item.type == WriteItemType.BYTE_IO:
            content = io.BytesIO()
            torch.save([None], content)
            content.seek(0)
            return content
        key, offset = write_item.index.fqn, write_item.index.offset
        assert offset is not None and write_item.tensor_data is not None
        sizes = write_item.tensor_data.chunk.sizes
        name = self._names[key, tuple(offset)]
        if self._latest[0] != name:
            self._latest = (name, merge.load(self.folder, name, self.shape))
        whole = self._latest[1]
        stacked = len(sizes) - whole.dim()
        start = offset[stacked]
        return whole[start : start + sizes[stacked]].reshape(sizes)

    def _items(self) -> Iterator[WriteItem]:
        stack = (self.shape.layers, self.shape.num_experts)
        for name, dims in merge.parameters(self.shape):
            key, place = weight_map.on_disk(name)
            dtype = self.folder.dtype(weight_map.source(name, self.shape).names[0])
            counts = stack[: len(place)]
            size = torch.Size([*counts, *dims])
            if name.split(".")[-2].startswith("linear_") and place:
                at, of = (".".join(map(str, each)) for each in (place, counts))
                yield WriteItem(
                    # Where Transformer Engine keeps its scales of fp8, and others nothing.
                    index=MetadataIndex(
                        f"{key.removesuffix('weight')}_extra_state/shard_{at}_{of}"
                    ),
                    type=WriteItemType.BYTE_IO,
                )
            # Gate and up apart, as Megatron has them: ranks that share them read less.
            parts = 2 if key.endswith("linear_fc1.weight") and place else 1
            rows = dims[0] // parts
            for part in range(parts):
                offsets = torch.Size([*place, part * rows, *[0] * (len(dims) - 1)])
                sizes = torch.Size([*[1] * len(place), rows, *dims[1:]])
                self._names[key, tuple(offsets)] = name
                yield WriteItem(
                    index=MetadataIndex(key, offsets),
                    type=WriteItemType.SHARD,
                    tensor_data=TensorWriteData(
                        chunk=ChunkStorageMetadata(offsets, sizes),
                        properties=TensorProperties(dtype=dtype),
                        size=size,
                    ),
                )
