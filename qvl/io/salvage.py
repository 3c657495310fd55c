"""Recover the intact records of a damaged stream, before and after the damage."""

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

from qvl.io import compressed, frames, inputs
from qvl.io.lines import MAX_LINE, AsRead, BadLine, parse_as_read


def records(path: str, on_damage: Callable[[str, str], None]) -> Iterator[AsRead]:
    """Yield the intact records of `path`.

    on_damage(reason, detail) is called for each loss: "cut" or "corrupt" for the stream itself,
    "damaged-record" for a line that is only partly left.
    """
    name = inputs.display_name(path)
    number = 0
    for line in _lines(path):
        if isinstance(line, Damage):
            on_damage(line.what.partition(":")[0], f"{line.what} after record {number}")
            if line.rest:
                on_damage("damaged-record", f"{line.rest} bytes of record {number + 1} are left")
            continue
        number += 1
        try:
            record = parse_as_read(line, name, number)
        except BadLine as bad:
            on_damage("damaged-record", str(bad))
            continue
        if record is not None:
            yield record


class Damage(NamedTuple):
    """A gap in a stream: what it is, and how many bytes are left of the line before it."""

    what: str
    rest: int


def _lines(path: str) -> Iterator[bytes | Damage]:
    """Yield the lines, in linear time even if one spans many blocks, and what is between them."""
    held: list[bytes] = []
    size = 0
    for part in _content(path):
        if isinstance(part, str):
            yield Damage(part, size)
            held, size = [], 0
            continue
        lines = io.BytesIO(part).readlines()
        if size <= MAX_LINE:  # a longer line is reported by its beginning
            held.append(lines[0])
        size += len(lines[0])
        if lines[0].endswith(b"\n"):
            yield b"".join(held)
            last = lines.pop() if len(lines) > 1 and not lines[-1].endswith(b"\n") else b""
            yield from lines[1:]
            held, size = [last], len(last)
    if size:
        yield b"".join(held)


def _content(path: str) -> Iterator[bytes | str]:
    name = inputs.display_name(path)
    with inputs.open_input(path) as file:
        head, content = inputs.peek(inputs.blocks(file, name))
        if frames.is_zstd(head):
            yield from frames.salvage(content)
            return
        decode = compressed.decoder(head, name)
        try:
            yield from decode(content, None) if decode else content
        except (frames.Cut, frames.Corrupt) as error:
            yield f"corrupt: {error}" if isinstance(error, frames.Corrupt) else "cut"
