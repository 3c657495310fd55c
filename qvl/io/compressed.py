"""The content of an input, told by its first bytes: zstd, gzip, bzip2 or plain; others are named."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from qvl.errors import UserError
from qvl.io import frames

PIECE = 1 << 17  # bytes of content decoded at a time: a small file may hold gigabytes

Decode = Callable[[Iterable[bytes], "frames.Note | None"], Iterator[bytes]]

OTHERS = {  # first bytes -> what it is, and what to do
    b"PAR1": "a parquet file; qvl convert --from hf-parquet reads it",
    b"\xfd7zX": "compressed with xz; decompress it: xz -dc FILE | qvl ...",
    b"PK\x03\x04": "a zip archive; unpack it: unzip -p FILE | qvl ...",
    b"\x04\x22\x4d\x18": "compressed with lz4; decompress it: lz4 -dc FILE | qvl ...",
    b"\x89PNG": "a PNG image, not records",
    b"\xff\xd8\xff": "a JPEG image, not records",
    b"%PDF": "a PDF document, not records",
}


def decoder(head: bytes, name: str) -> Decode | None:
    """The function that decodes an input with these first four bytes; None for a plain one.

    It raises frames.Cut or frames.Corrupt, and then all that it yielded is intact. UserError for what
    is certainly no stream of records.
    """
    if frames.is_zstd(head):
        return frames.decode
    if head.startswith(b"\x1f\x8b"):
        return _gzip
    if head.startswith(b"BZh"):
        return _bzip2
    for mark, what in OTHERS.items():
        if head.startswith(mark):
            raise UserError(f"{name}: {what}")
    return None


def _gzip(chunks: Iterable[bytes], on_note: frames.Note | None = None) -> Iterator[bytes]:
    import zlib

    def start() -> Any:
        return zlib.decompressobj(wbits=31)

    return _members(chunks, start, zlib.error)


def _bzip2(chunks: Iterable[bytes], on_note: frames.Note | None = None) -> Iterator[bytes]:
    import bz2

    return _members(chunks, bz2.BZ2Decompressor, (OSError, ValueError))


def _members(chunks: Iterable[bytes], start: Callable[[], Any], errors: Any) -> Iterator[bytes]:
    """Yield the content of one member after another, as gzip and bzip2 join them, in bounded pieces."""
    member: Any = None
    data = b""
    for chunk in chunks:
        rest = chunk
        while rest or (member is not None and len(data) == PIECE):
            if member is None:
                rest = rest.lstrip(b"\0")  # zeros may fill up the last block of a tape
                if not rest:
                    break
                member = start()
            try:
                data = member.decompress(rest, PIECE)
            except errors as error:
                raise frames.Corrupt(str(error).lower()) from None
            if data:
                yield data
            # zlib gives back what it did not take; bz2 keeps it.
            rest = member.unused_data if member.eof else getattr(member, "unconsumed_tail", b"")
            if member.eof:
                member = None
    if member is not None:
        raise frames.Cut
