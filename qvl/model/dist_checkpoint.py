"""Read and write the weights of Megatron's distributed checkpoints without Megatron, one at a time.

Such a checkpoint is one of torch.distributed.checkpoint, whose tensors are divided into chunks that
any number of ranks can read, plus the metadata.json and common.pt of Megatron.
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
from qvl.model import merge, restricted_pickle, weight_map
from qvl.model.folder import Folder
from qvl.model.shape import Shape

FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


class CheckpointTensors(merge.MergedTensors):
    """The Hugging Face tensors of the checkpoint in `path`, with the names and shapes of `folder`."""

    def __init__(self, path: Path, folder: Folder, shape: Shape) -> None:
        """UserError if there is no checkpoint, or it would run code."""
        restricted_pickle.check(path)
        self._reader = FileSystemReader(path)
        try:
            self._metadata: Metadata = self._reader.read_metadata()
        except (OSError, UnpicklingError, EOFError) as error:
            raise UserError(f"{path}: not a Megatron checkpoint: {error}") from None
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=True)
        self._path = path
        super().__init__((name for name, _ in merge.parameters(shape)), folder, shape)

    def parameter(self, name: str) -> Tensor:
        key, place = weight_map.on_disk(name)
        stored = self._metadata.state_dict_metadata.get(key)
        if not isinstance(stored, TensorStorageMetadata):
            raise UserError(f"{self._path}: {key} is missing")
        dims = stored.size[len(place) :]
        found = torch.empty((*[1] * len(place), *dims), dtype=stored.properties.dtype)
        wanted = ChunkStorageMetadata(torch.Size([*place, *[0] * len(dims)]), found.shape)
        chunks = create_read_items_for_chunk_list(key, stored, [wanted])
        if sum(math.prod(each.lengths) for each in chunks) != found.numel():
            raise UserError(f"{self._path}: a part of {key} is missing, at {list(place)}")
        try:
            self._reader.read_data(LoadPlan(chunks), _Assembly(found)).wait()
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:  # damaged
            raise UserError(f"{self._path}: cannot read {key}: {error or 'truncated'}") from None
        return found.view(dims)


class _Assembly(DefaultLoadPlanner):
    """Puts the chunks that are read into their places in a tensor."""

    def __init__(self, found: Tensor) -> None:
        super().__init__()
        self.found = found

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        spans = zip(read_item.dest_offsets, read_item.lengths, strict=True)
        return self.found[tuple(slice(start, start + count) for start, count in spans)]

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        """Do nothing: it is a view of `found`."""


def write(folder: Folder, shape: Shape, path: Path) -> None:
    """Write the weights of a Hugging Face folder as a checkpoint of step 0 to the new folder `path`.

    UserError, before anything is written, if its tensors do not match its config.json.
    """
    merge.check(folder, shape)
    path.mkdir(parents=True)
    writer = FileSystemWriter(path, thread_count=1)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # a single process
            save({}, storage_writer=writer, planner=_WritePlanner(folder, shape), no_dist=True)
    except CheckpointException as error:
        raise _cause(error.failures[0][0]) from None
    torch.save({"state": {"step": 0}}, path / "common.pt")
    (path / "metadata.json").write_text(json.dumps(FORMAT))


def _cause(error: BaseException) -> BaseException:
    """The first cause, such as a full disk, of an error in torch's zip writer."""
    inner: BaseException | None = error
    while inner and not isinstance(inner, OSError | UserError):
        inner = inner.__context__
    return inner or error


class _WritePlanner(DefaultSavePlanner):
    """Reads each parameter from the folder just before it is written."""

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
        parameter = self._latest[1]
        stacked = len(sizes) - parameter.dim()
        start = offset[stacked]
        return parameter[start : start + sizes[stacked]].reshape(sizes)

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
                    # For the fp8 scales of Transformer Engine; empty without it.
                    index=MetadataIndex(
                        f"{key.removesuffix('weight')}_extra_state/shard_{at}_{of}"
                    ),
                    type=WriteItemType.BYTE_IO,
                )
            # Gate and up are separate chunks, as in Megatron, so tensor-parallel ranks read less.
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
