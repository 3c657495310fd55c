"""New weights for an engine: whether a folder can be loaded, and whether it was."""

from collections.abc import Sequence
from pathlib import Path

from qvl.errors import UserError

UPDATE_ROUTE = "/update_weights_from_disk"  # of SGLang, the local engine and the router
FIRST_VERSION = "default"  # the engines' own name for the weights that they start with
TOWER = "model.visual."  # what a prompt without images never reads


def check_same_shapes(served: Path, folder: Path) -> None:
    """UserError unless a folder's tensors have the names and shapes of those that are served."""
    from qvl.model.folder import Folder

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a checkpoint: config.json not found")
    ours, theirs = Folder(served), Folder(folder)
    for name in sorted({*ours.names} ^ {*theirs.names}):
        what = "lacks the tensor" if name in ours else "has another tensor,"
        raise UserError(f"{folder}: {what} {name}; the served checkpoint is {served}")
    for name in theirs.names:
        if theirs.dims(name) != ours.dims(name):
            raise UserError(
                f"{folder}: {name} has shape {theirs.dims(name)}, expected {ours.dims(name)} as in {served}"
            )


def same_language_weights(one: Path, other: Path) -> bool:
    """Whether two folders with the same tensor names hold the same values outside the vision tower."""
    from qvl.model.folder import Folder

    ours, theirs = Folder(one), Folder(other)
    names = [name for name in ours.names if not name.startswith(TOWER)]
    return all(ours.get(name).equal(theirs.get(name)) for name in names)


def update_body(folder: Path, version: str) -> dict[str, str]:
    """The body of a request to UPDATE_ROUTE."""
    return {"model_path": str(folder.resolve()), "weight_version": version}


def logprobs_differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether log-probs of the same tokens may come from different weights: any bit is different.

    No larger difference can be required. A step of reinforcement learning at a rate of 1e-6 moves them by
    less than an engine's own arithmetic may; the trainer's gap (qvl.rollout.gap) then tells old weights.
    """
    return any(a != b for a, b in zip(one, other, strict=True))
