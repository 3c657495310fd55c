"""A random order of a stream that need not fit in memory.

Each record gets a random key, and the stream is sorted by it. What does not fit in memory is distributed
over 64 files by the first digits of the key, and each file is sorted in turn. So the order depends on the
seed and the input alone, not on the memory or the machine.
"""

import random
from collections.abc import Iterable, Iterator

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.io.spill import Spill

BUFFER_MIB = 64  # our choice
DIGITS = 20  # octal; a key has 60 bits
PARTS = {b"%02o" % part: part for part in range(64)}  # two digits are the number of a file
OVERHEAD = 41  # bytes of Python per line, and of the list that holds it


def shuffled(records: Iterable[dict], seed: int, buffer_mib: float) -> Iterator[bytes]:
    """The lines of the records in the order of `seed`. At most `buffer_mib` of them are in memory."""
    if buffer_mib <= 0:
        raise UserError(f"--buffer-mib {buffer_mib}: expected a number over 0")
    draw = random.Random(seed).getrandbits
    keyed = (b"%020o" % draw(3 * DIGITS) + jsonl.encode(record) for record in records)
    for line in ordered(keyed, int(buffer_mib * (1 << 20))):
        yield line[DIGITS:]


def ordered(lines: Iterable[bytes], buffer: int, digit: int = 0) -> Iterator[bytes]:
    """Lines sorted by their key, whose digits before `digit` are equal."""
    lines = iter(lines)
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line) + OVERHEAD
        if size > buffer and len(held) > 1 and digit < DIGITS:
            break
    else:
        held.sort()
        yield from held
        return
    # A quarter of the buffer is for what waits to be written.
    parts = [Spill(max(1 << 12, buffer // 256)) for _ in PARTS]
    held.reverse()
    while held:
        line = held.pop()
        parts[PARTS[line[digit : digit + 2]]].push(line)
    for line in lines:
        parts[PARTS[line[digit : digit + 2]]].push(line)
    parts.reverse()
    while parts:
        yield from ordered(parts.pop().drain(), buffer, digit + 2)
