"""A Megatron checkpoint becomes a Hugging Face folder, in one process on the CPU."""

from pathlib import Path

from qvl.errors import UserError


def run(checkpoint: Path, model: Path, output: Path) -> int:
    """Write `output`; return the checkpoint's step. UserError where a folder is not what it must."""
    from qvl.megatron import checkpoint as checkpoints
    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape

    if output.exists() and output.samefile(model):
        raise UserError(f"--output {output}: is the folder of --model")
    shape, source = load_shape(model), Folder(model)
    parallel.start(parallel.Layout())
    try:
        dtype = source.get(source.names[0]).dtype
        trained = training.build_model(shape, parallel.Layout(), dtype)
        state = checkpoints.load_weights(trained, checkpoint)
        source.write_like(output, weights.export(trained, source).__getitem__)
    finally:
        parallel.finish()
    return state["step"]
