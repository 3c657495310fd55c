"""Between Hugging Face folders and Megatron's distributed checkpoints; every rank runs these.

A checkpoint can be read at any layout. Beside it, or inside of it, lies the skeleton of the Hugging
Face folder that it came from: configuration, tokenizer, template, and the names and types of tensors.
"""

import shutil
from pathlib import Path

from qvl.errors import CheckFailed, UserError
from qvl.model.layout import Layout

SKELETON = "huggingface"


def from_megatron(checkpoint: Path, output: Path, layout: Layout) -> int:
    """Write the Hugging Face folder `output`; return the checkpoint's step, 0 for an imported one."""
    from qvl.megatron import checkpoint as checkpoints
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Skeleton
    from qvl.model.shape import load_shape

    source = Skeleton(skeleton_of(checkpoint))
    shape = load_shape(source.path)
    parallel.start(layout)
    try:
        layout.check(shape, parallel.world())
        model = training.build_model(shape, layout, source.dtype(source.names[0]))
        state = checkpoints.load_weights(model, checkpoint)
        weights.write(model, source, output)
    finally:
        parallel.finish()
    return state["step"]


def to_megatron(folder: Path, checkpoint: Path, layout: Layout) -> int:
    """Write the weights of a Hugging Face folder as a checkpoint; return how many tensors it has.

    It is read back, and every tensor compared with the folder's: CheckFailed where one differs.
    """
    import torch

    from qvl.megatron import checkpoint as checkpoints
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape

    if checkpoint.exists():
        raise UserError(f"{checkpoint}: exists")
    shape, source = load_shape(folder), Folder(folder)
    parallel.start(layout)
    try:
        layout.check(shape, parallel.world())
        model = training.build_model(shape, layout, source.dtype(source.names[0]))
        weights.load(model, source)
        if parallel.rank() == 0:
            partial = checkpoint.with_name(f"{checkpoint.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            source.write_skeleton(partial / SKELETON)
        checkpoints.save_weights(model, checkpoint, {"step": 0})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        checkpoints.load_weights(model, checkpoint)
        whole, wrong = weights.Whole(model, source), []
        for name in source.names:
            tensor = whole.tensor(name)
            if parallel.rank() == 0 and not torch.equal(tensor.cpu(), source.get(name)):
                wrong.append(name)
        if parallel.anywhere(bool(wrong)):
            raise CheckFailed(f"{checkpoint}: differs from {folder} in {', '.join(wrong) or '?'}")
    finally:
        parallel.finish()
    return len(source.names)


def skeleton_of(checkpoint: Path) -> Path:
    """The skeleton that belongs to a checkpoint. UserError where there is none."""
    for place in (checkpoint, checkpoint.parent):
        if (place / SKELETON).is_dir():
            return place / SKELETON
    raise UserError(f"{checkpoint}: no Megatron checkpoint of qvl sft or qvl import")
