"""One stream into several files, all of which appear, or none."""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate

from qvl.errors import UserError
from qvl.io.writer import BLOCK, SMALL_BLOCK, Writer
from qvl.stage import Drop, Run
from qvl.streams.mix import label

MAX_PARTS = 500  # each is an open file until all are whole
FEW = 8  # parts whose blocks may be large
NAMED = 20  # parts that the summary names
_RANGE = 1 << 64

Choose = Callable[[dict], "str | Drop"]
"""The name of a record's part."""


def by_hash(key: Callable[[dict], object], weights: dict[str, Fraction], seed: int) -> Choose:
    """Parts in a ratio. Records with the same key go to the same part, in any order."""
    total = sum(weights.values())
    edges = [int(edge / total * _RANGE) for edge in accumulate(weights.values())]
    names = list(weights)
    seeded = hashlib.blake2b(f"{seed}\n".encode(), digest_size=8)

    def choose(record: dict) -> str | Drop:
        value = key(record)
        if value is None:
            return Drop("no-key")
        drawn = seeded.copy()
        drawn.update(label(value).encode())
        return names[bisect_right(edges, int.from_bytes(drawn.digest()))]

    return choose


def by_value(key: Callable[[dict], object]) -> Choose:
    """A part per value. UserError if two values would be the same file."""
    seen: dict[str, str] = {}

    def choose(record: dict) -> str | Drop:
        value = key(record)
        if value is None:
            return Drop("no-key")
        name = label(value)
        file = re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "_"
        if seen.setdefault(file, name) != name:
            raise UserError(f"--by: {seen[file]!r} and {name!r} would both be the file {file!r}")
        return file

    return choose


def by_count(size: int) -> Choose:
    """Parts of `size` records, in their order, named 00001, 00002 and so on."""
    seen = 0

    def choose(record: dict) -> str:
        nonlocal seen
        seen += 1
        return f"{(seen - 1) // size + 1:05d}"

    return choose


def split(
    run: Run, choose: Choose, pattern: str, names: list[str], *, plain: bool, in_order: bool
) -> None:
    """Write each record to the file of its part; {} in `pattern` is the part's name.

    The files of `names` appear even if empty. `in_order`: a part is complete when the next begins.
    """
    if pattern.count("{}") != 1:
        raise UserError(f"-o {pattern}: needs one {{}}, where the name of each part goes")
    writers: dict[str, Writer] = {}

    def writer(name: str) -> Writer:
        if name not in writers:
            if len(writers) == MAX_PARTS:
                raise UserError(f"-o {pattern}: over {MAX_PARTS} parts; make fewer")
            if in_order and writers:
                writers[next(reversed(writers))].finish()
            block = BLOCK if len(writers) < FEW else SMALL_BLOCK
            writers[name] = Writer(pattern.replace("{}", name), plain=plain, block=block)
        return writers[name]

    try:
        for name in names:
            writer(name)
        for record in run.as_read():
            name = choose(record)
            if isinstance(name, Drop):
                run.reject(record, name.reason, name.detail)
                continue
            (writers.get(name) or writer(name)).write(record)
            run.put(record)
        unfinished = [*writers.values()][-1:] if in_order else writers.values()
        for one in unfinished:
            one.finish()
        counts = [f"{name} {one.count:,}" for name, one in writers.items()]
        run.note(parts=", ".join(counts) if len(counts) <= NAMED else len(counts))
        for one in writers.values():
            run.add_output(one, {"kept": one.count})
    except BaseException:
        for one in writers.values():
            one.abort()
        raise
