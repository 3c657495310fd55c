"""What can be saved of a damaged stream: every whole record, up to the damage and after it."""

from collections.abc import Callable, Iterator

from qvl.io import frames, jsonl
from qvl.io.lines import BadLine, parse


def records(path: str, on_damage: Callable[[str, str], None]) -> Iterator[dict]:
    """Yield the whole records of `path`.

    on_damage(reason, detail) hears of each place where something was lost: "cut" or "corrupt" for
    the stream itself, "damaged-record" for a line of which only a part is left.
    """
    name = jsonl.display_name(path)
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
    with jsonl.open_input(path) as file:
        head, content = jsonl.peek(jsonl.chunks(file, jsonl.display_name(path)))
        yield from frames.salvage(content) if frames.is_zstd(head) else content
