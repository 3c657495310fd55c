"""Streams of records: JSONL, plain or compressed. The first bytes of an input decide, never its name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from qvl.errors import UserError
from qvl.io import compressed, frames, inputs, lineage, lines
from qvl.io.lines import AsRead, BadLine
from qvl.io.writer import Writer as Writer
from qvl.io.writer import encode as encode


class Reader:
    """The records of one or more files, in order.

    number: the line last read from the current file.
    sources: name, number of records and lineage of each file opened so far.
    bytes_read, bytes_total: of the compressed input; the total is None for a pipe.
    """

    def __init__(
        self,
        paths: str | Sequence[str] = "-",
        on_bad: Callable[[BadLine], None] | None = None,
    ) -> None:
        """`on_bad` takes each bad line; without it, the first one is raised."""
        self.paths = [paths] if isinstance(paths, str) else list(paths) or ["-"]
        self.on_bad = on_bad
        self.number = 0
        self.bytes_read = 0
        self.bytes_total = inputs.total_size(self.paths)
        self.sources: list[dict[str, Any]] = []

    @property
    def place(self) -> str:
        """Where the record last read is: "file:line"."""
        return f"{inputs.display_name(self.sources[-1]['name'])}:{self.number}"

    @property
    def lineage(self) -> list[dict]:
        """The entries found so far; complete once the stream has ended."""
        return [entry for source in self.sources for entry in source["lineage"]]

    def __iter__(self) -> Iterator[dict]:
        return self._parsed(with_lines=False)

    def as_read(self) -> Iterator[AsRead]:
        """The records with their lines, for a stage that leaves them as they are."""
        return self._parsed(with_lines=True)

    def split(self, content: Iterator[bytes], name: str) -> Iterator[bytes]:
        """Yield the JSON text of each record. A subclass reads another container than lines."""
        return lines.split(content)

    def _parsed(self, with_lines: bool) -> Iterator[Any]:
        for path in self.paths:
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            name = inputs.display_name(path)
            self.number = 0
            for line in self.split(self._content(path, name, source["lineage"]), name):
                self.number += 1
                try:
                    record, normal = lines.parse_both(line, name, self.number)
                except BadLine as bad:
                    if self.on_bad is None:
                        raise
                    self.on_bad(bad)
                    continue
                if record is None:
                    continue
                source["records"] += 1
                if with_lines:
                    record = AsRead(record)
                    record.line = normal
                yield record

    def _content(self, path: str, name: str, entries: list[dict]) -> Iterator[bytes]:
        """Yield the uncompressed bytes of one file. Errors name the last intact record."""

        def keep_lineage(note: bytes) -> None:
            entry = lineage.parse(note)
            if entry is not None:
                entries.append(entry)

        with inputs.open_input(path) as file:
            head, content = inputs.peek(self._counted(inputs.blocks(file, name)))
            if not head and path == "-":  # even a stream without records is a frame
                raise UserError(f"{name}: empty; did the stage before it fail?")
            decode = compressed.decoder(head, name)
            if decode is None:
                yield from content
                return
            try:
                yield from decode(content, keep_lineage)
            except frames.Cut:
                raise UserError(
                    f"{name}: cut short after record {self.number}; did the stage before it fail? "
                    "'qvl recover' keeps the intact records"
                ) from None
            except frames.Corrupt as error:
                raise UserError(
                    f"{name}: corrupt after record {self.number}: {error}; "
                    "'qvl recover' keeps the intact records"
                ) from None

    def _counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.bytes_read += len(block)
            yield block


def read(
    paths: str | Sequence[str] = "-", on_bad: Callable[[BadLine], None] | None = None
) -> Reader:
    """Read `paths` as one stream; "-" is standard input. See Reader."""
    return Reader(paths, on_bad)


def write(records: Iterable[dict], path: str = "-", *, plain: bool = False) -> int:
    """Write `records` to `path`, all of them or nothing; return their number."""
    with Writer(path, plain=plain) as writer:
        for record in records:
            writer.write(record)
    return writer.count
