"""zstd frames: a stream holds several, with checksums, and skippable frames with our notes.

A stream is cut short if its last frame is not closed. python-zstandard's `stream_reader` reads such
a frame as a normal end, so frames are decoded with `decompressobj`, whose `eof` is reliable.
"""

import struct
from collections.abc import Callable, Iterable, Iterator

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = struct.pack("<I", 0x184D2A57)  # one of the 16 magics that RFC 8878 reserves
SKIPPABLE_TAIL = b"\x2a\x4d\x18"  # what all 16 share; the first byte is 0x50 to 0x5f
MAX_WINDOW = 1 << 27  # 128 MiB, the most that `zstd -d` accepts without --long
MAX_NOTE = 1 << 26  # a larger skippable frame is skipped unread, so memory stays bounded
MAX_BLOCK = 1 << 17  # zstd's own limit on a block
PIECE = 1 << 12  # bytes decoded at a time: an error loses the output of its piece

Note = Callable[[bytes], None]
"""Called with the content of each skippable frame."""


class Cut(Exception):
    """The stream ends inside a frame."""


class Corrupt(Exception):
    """The stream is not valid zstd, or a checksum does not match."""


def is_zstd(head: bytes) -> bool:
    """Whether a stream is zstd, by its first four bytes."""
    return head[:4] == MAGIC or (head[1:4] == SKIPPABLE_TAIL and 0x50 <= head[0] <= 0x5F)


def note(content: bytes) -> bytes:
    """Return a skippable frame, which standard decoders ignore."""
    return SKIPPABLE + struct.pack("<I", len(content)) + content


def decode(chunks: "Iterable[bytes] | _Source", on_note: Note | None = None) -> Iterator[bytes]:
    """Yield the content of all frames. Raises Cut or Corrupt; the content yielded before is intact."""
    source = chunks if isinstance(chunks, _Source) else _Source(chunks)
    while head := source.take(4):
        if head == MAGIC:
            yield from _data_frame(source, head)
        elif is_zstd(head):
            (size,) = struct.unpack("<I", source.exactly(4))
            content = source.exactly(size, keep=size <= MAX_NOTE)
            if on_note and size <= MAX_NOTE:
                on_note(content)
        elif len(head) < 4 and (
            MAGIC.startswith(head) or head[1:] == SKIPPABLE_TAIL[: len(head) - 1]
        ):
            raise Cut
        else:
            raise Corrupt("the bytes after a frame are not a frame")


def salvage(chunks: Iterable[bytes], on_note: Note | None = None) -> Iterator[bytes | str]:
    """Like decode, but after damage yield its description (str) and go on at the next frame."""
    # Pieces of four bytes: a wrong checksum (four bytes) then never loses the block before it.
    source = _Source(chunks, piece=4, remember=MAX_BLOCK)
    while True:
        try:
            yield from decode(source, on_note)
            return
        except (Cut, Corrupt) as error:
            yield f"corrupt: {error}" if isinstance(error, Corrupt) else "cut"
        # A corrupted length makes the decoder run into later frames: search those again.
        source.rewind()
        if not source.seek(MAGIC):
            return


def _data_frame(source: "_Source", head: bytes) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
    source.forget()
    chunk = head
    while chunk:
        try:
            data = frame.decompress(chunk)
        except zstandard.ZstdError as error:
            raise Corrupt(_reason(str(error))) from None
        if data:
            yield data
        if frame.eof:
            source.give_back(frame.unused_data)
            return
        chunk = source.some()
    raise Cut


def _reason(message: str) -> str:
    if "too much memory" in message:
        return f"its window is over {MAX_WINDOW >> 20} MiB; recompress it: zstd -dc --long=31 FILE | zstd"
    if "checksum" in message:
        return "a checksum does not match; records since the frame began may be wrong"
    return message.rpartition(": ")[2].lower()


class _Source:
    """Chunks as a source of bytes, with a bounded memory of those already taken."""

    def __init__(self, chunks: Iterable[bytes], piece: int = PIECE, remember: int = 0) -> None:
        self._chunks = iter(chunks)
        self._piece, self._remember = piece, remember
        self._rest = memoryview(b"")
        self._past = bytearray()

    def some(self) -> bytes:
        """Return the next piece; b"" at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        piece, self._rest = bytes(self._rest[: self._piece]), self._rest[self._piece :]
        if self._remember:
            self._past += piece
            if len(self._past) > 2 * self._remember:
                del self._past[: -self._remember]
        return piece

    def give_back(self, data: bytes) -> None:
        """Make `data`, taken last, the next bytes again."""
        if data:
            self._rest = memoryview(data + self._rest)
            del self._past[len(self._past) - len(data) :]

    def forget(self) -> None:
        """Drop the memory, at the start of a frame."""
        self._past.clear()

    def rewind(self) -> None:
        """Go back to the start of the memory."""
        self.give_back(bytes(self._past))

    def seek(self, mark: bytes) -> bool:
        """Skip to the next `mark`; False if there is none."""
        held = b""
        while more := self.some():
            held += more
            at = held.find(mark)
            if at >= 0:
                self.give_back(held[at:])
                return True
            held = held[1 - len(mark) :]
        return False

    def take(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end of the stream."""
        data = b""
        while len(data) < size and (more := self.some()):
            data += more
        self.give_back(data[size:])
        return data[:size]

    def exactly(self, size: int, keep: bool = True) -> bytes:
        """Return `size` bytes, or b"" if not `keep`. Raises Cut at the end of the stream."""
        parts, left = [], size
        while left:
            part = self.some()
            if not part:
                raise Cut
            if len(part) > left:
                self.give_back(part[left:])
                part = part[:left]
            left -= len(part)
            if keep:
                parts.append(part)
        return b"".join(parts)
