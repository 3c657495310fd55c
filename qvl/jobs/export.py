"""Between Hugging Face folders and Megatron's distributed checkpoints, a tensor at a time.

A checkpoint can be read at any layout. Beside it or in it lies the skeleton of the Hugging Face folder
that it came from: configuration, tokenizer, template, and the names and types of tensors.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qvl.errors import CheckFailed, UserError
from qvl.imports import gc_frozen

SKELETON = "huggingface"
MEGATRON = "megatron"


def from_megatron(checkpoint: Path, output: Path) -> int:
    """Write the Hugging Face folder `output`; return how many tensors it has."""
    with gc_frozen():
        from qvl.model.dist_checkpoint import CheckpointTensors
    from qvl.model.folder import Skeleton
    from qvl.model.folder_writer import write_like
    from qvl.model.shape import load_shape

    source = Skeleton(skeleton_of(checkpoint))
    stored = CheckpointTensors(checkpoint / MEGATRON, source, load_shape(source.path))
    with _one_line_errors(output):
        write_like(source, output, stored.tensor)
    return len(source.names)


def to_megatron(folder: Path, checkpoint: Path) -> int:
    """Write the weights of a Hugging Face folder as a checkpoint; return how many tensors it has.

    It is read back, and every tensor compared with the folder's: CheckFailed where one differs.
    """
    with gc_frozen():
        from qvl.model import dist_checkpoint
    from qvl.model.folder import Folder, same_bits
    from qvl.model.shape import load_shape

    if checkpoint.exists():
        raise UserError(f"{checkpoint}: already exists; remove it or choose another")
    shape, source = load_shape(folder), Folder(folder)
    partial = checkpoint.with_name(f"{checkpoint.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _one_line_errors(partial):
            source.write_skeleton(partial / SKELETON)
            dist_checkpoint.write(source, shape, partial / MEGATRON)
        read = dist_checkpoint.CheckpointTensors(partial / MEGATRON, source, shape)
        for name in source.names:
            if not same_bits(read.tensor(name), source.get(name)):
                raise CheckFailed(
                    f"{checkpoint}: {name} differs from {folder} after reading it back"
                )
        partial.replace(checkpoint)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(source.names)


@contextmanager
def _one_line_errors(place: Path) -> Iterator[None]:
    """Turn errors of a disk that is full or not writable into a UserError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(f"{place}: {getattr(error, 'strerror', None) or error}") from None


def skeleton_of(checkpoint: Path) -> Path:
    """The skeleton that belongs to a checkpoint. UserError where there is none."""
    for place in (checkpoint, checkpoint.parent):
        if (place / SKELETON).is_dir():
            return place / SKELETON
    raise UserError(f"{checkpoint}: not a Megatron checkpoint of qvl sft or qvl import")
