"""New weights for an engine: whether a folder may be loaded, and whether it was."""

from collections.abc import Sequence
from pathlib import Path

from qvl.errors import UserError

UPDATE = "/update_weights_from_disk"  # the route of SGLang, of the local engine and of replicas
FIRST_VERSION = "default"  # as the engines name what they start with
DIFFERENT = 1e-3  # of log-probs: other weights change them more; the same ones, in fp32, 1e-5


def check_alike(served: Path, folder: Path) -> None:
    """UserError where a folder's tensors are not those that are served, by name and shape."""
    from qvl.model.folder import Folder

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no checkpoint: there is no config.json in it")
    ours, theirs = Folder(served), Folder(folder)
    for name in sorted({*ours.names} ^ {*theirs.names}):
        what = "lacks the tensor" if name in ours else "has another tensor,"
        raise UserError(f"{folder}: {what} {name}; what is served is {served}")
    for name in theirs.names:
        if theirs.dims(name) != ours.dims(name):
            raise UserError(
                f"{folder}: {name} is {theirs.dims(name)}, and {ours.dims(name)} in {served}"
            )


def are_equal(one: Path, other: Path) -> bool:
    """Whether two folders of the same names hold the same numbers."""
    from qvl.model.folder import Folder

    ours, theirs = Folder(one), Folder(other)
    return all(ours.get(name).equal(theirs.get(name)) for name in ours.names)


def update_body(folder: Path, version: str) -> dict[str, str]:
    """What UPDATE takes."""
    return {"model_path": str(folder.resolve()), "weight_version": version}


def differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether log-probs of the same tokens are of other weights."""
    return any(abs(a - b) > DIFFERENT for a, b in zip(one, other, strict=True))
