"""An output folder that appears complete or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qvl.errors import UserError


@contextlib.contextmanager
def new_folder(target: Path, *, force: bool, mark: str) -> Iterator[Path]:
    """Give a temporary folder beside `target` to write to, and rename it to `target` on success.

    A target that is not empty is replaced only with `force`, and only if it has the file `mark`, so a
    mistyped path does no harm.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        if not force:
            raise UserError(f"{target}: exists and is not empty; replace it with --force")
        if not (target / mark).is_file():
            raise UserError(f"{target}: not replaced: it has no {mark}, so qvl did not write it")
    final = Path(os.path.realpath(target))
    partial = final.with_name(f"{final.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}") from None
    try:
        yield partial
        if final.exists():
            old = final.with_name(f"{final.name}.{os.getpid()}.old")
            final.rename(old)
            partial.rename(final)
            shutil.rmtree(old)
        else:
            partial.rename(final)
    except OSError as error:
        if error.filename is None:
            raise
        raise UserError(f"{error.filename}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
