"""Recover the intact records of a damaged stream, before and after the damage."""

from collections.abc import Callable, Iterator

from qvl.io import frames, inputs
from qvl.io.lines import BadLine, parse


def records(path: str, on_damage: Callable[[str, str], None]) -> Iterator[dict]:
    """Yield the intact records of `path`.

    on_damage(reason, detail) is called for each loss: "cut" or "corrupt" for the stream itself,
    "damaged-record" for a line that is only partly left.
    """
    name = inputs.display_name(path)
    number, rest = 0, b""

    def parsed(line: bytes) -> dict | None:
        nonlocal number
        number += 1
        try:
            return parse(line, name, number)
        except BadLine as bad:
            on_damage("damaged-record", str(bad))
            return None

    for part in _content(path):
        if isinstance(part, str):
            on_damage(part.partition(":")[0], f"{part} after record {number}")
            if rest:
                on_damage("damaged-record", f"{len(rest)} bytes of record {number + 1} are left")
            rest = b""
            continue
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            record = parsed(line)
            if record is not None:
                yield record
    if rest:
        record = parsed(rest)
        if record is not None:
            yield record


def _content(path: str) -> Iterator[bytes | str]:
    with inputs.open_input(path) as file:
        head, content = inputs.peek(inputs.blocks(file, inputs.display_name(path)))
        yield from frames.salvage(content) if frames.is_zstd(head) else content
