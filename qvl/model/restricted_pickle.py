"""Check that a checkpoint's pickles hold data alone: to load any other runs code that it brings.

torch.distributed.checkpoint describes its chunks in a pickle, .metadata, and Megatron keeps what all ranks
share in common.pt. Checkpoints of other people may be exported, so both are read here first, with no
class but those that such files need.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from qvl.errors import UserError

CHUNKS = "torch.distributed.checkpoint.metadata"
ALLOWED = {
    *((CHUNKS, name) for name in ("Metadata", "MetadataIndex", "ChunkStorageMetadata")),
    *((CHUNKS, name) for name in ("TensorStorageMetadata", "TensorProperties", "StorageMeta")),
    *((CHUNKS, name) for name in ("BytesStorageMetadata", "_MEM_FORMAT_ENCODING")),
    *(
        ("torch.distributed.checkpoint.filesystem", name)
        for name in ("_StorageInfo", "_StoragePrefix")
    ),
    *(  # the plan of a save, which Megatron keeps for the next one
        ("torch.distributed.checkpoint.planner", name)
        for name in (
            "SavePlan",
            "WriteItem",
            "WriteItemType",
            "TensorWriteData",
            "BytesIOWriteData",
        )
    ),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("collections", "OrderedDict"),
    *(("pathlib", name) for name in ("PosixPath", "PurePosixPath")),
}


class MoreThanData(pickle.UnpicklingError):
    """A pickle that needs another class than those of a checkpoint."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in ALLOWED and not is_dtype:
            raise MoreThanData(f"it would run {module}.{name}")
        return super().find_class(module, name)


BROKEN = (  # what a file that is cut or no pickle raises
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def check(checkpoint: Path) -> None:
    """UserError unless the pickles of a distributed checkpoint hold data alone."""
    path = checkpoint / ".metadata"
    try:
        with path.open("rb") as file:
            _Restricted(file).load()
        path = checkpoint / "common.pt"
        if path.exists():
            _check_common(path)
    except MoreThanData as error:
        raise UserError(
            f"{path}: not loaded, as it holds more than data: {_brief(error)}"
        ) from None
    except BROKEN as error:
        raise UserError(f"{path}: not a Megatron checkpoint: {_brief(error)}") from None


def _check_common(path: Path) -> None:
    try:
        torch.load(path, weights_only=True, map_location="meta")
    except pickle.UnpicklingError as error:
        raise MoreThanData(str(error)) from None


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
