"""Imports of large libraries, in less time."""

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def gc_frozen() -> Iterator[None]:
    """No search for cyclic garbage in here, and none ever after among what was made here.

    torch, transformers and Megatron make half a million objects as they are imported, and all of
    them stay. They would be searched again and again, and once more as the process ends, when
    nothing needs to be given back: for a quarter of a short command's time (tests/bench/bench_start.py).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.freeze)
        if was_enabled:
            gc.enable()
