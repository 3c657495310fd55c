"""Imports of large libraries in less time, and the garbage collector after them."""

import atexit
import contextlib
import gc
from collections.abc import Iterator

COLLECT_AFTER = (20_000, 20, 20)
"""gc.set_threshold: objects, and searches of the younger generation. Of thousands of requests that wait for
their answers hardly anything is garbage, but Python's threshold of 700 has them searched again and again: a tenth
of the time of `qvl generate`. Our choice."""


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
