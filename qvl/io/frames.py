"""zstd frames: a stream holds several, with checksums, and skippable frames with our notes.

A frame is decoded block by block, by the sizes that its headers give (RFC 8878, section 3.1.1). So the
end of a frame is known, which python-zstandard's `stream_reader` does not tell from a cut, and an error
loses no block before it.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = struct.pack("<I", 0x184D2A57)  # one of the 16 magics that RFC 8878 reserves
SKIPPABLE_TAIL = b"\x2a\x4d\x18"  # what all 16 share; the first byte is 0x50 to 0x5f
MAX_WINDOW = 1 << 27  # 128 MiB, the most that `zstd -d` accepts without --long
MAX_NOTE = 1 << 26  # a larger skippable frame is skipped unread, so memory stays bounded
MAX_BLOCK = 1 << 17  # zstd's own limit on a block
RAW, RLE, COMPRESSED = range(3)  # types of blocks

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
            yield from _data_frame(source)
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
    source = _Source(chunks, remember=2 * MAX_BLOCK)
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


def _data_frame(source: "_Source") -> Iterator[bytes]:
    """Yield the content of each block of a frame whose magic has been taken."""
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
    source.forget()
    try:
        header = source.exactly(1)
        checksum, header = header[0] & 4, header + source.exactly(_header_size(header[0]))
        decoder.decompress(MAGIC + header)
        last = False
        while not last:
            mark = source.exactly(3)
            bits = int.from_bytes(mark, "little")
            last, kind, size = bits & 1, bits >> 1 & 3, bits >> 3
            if kind > COMPRESSED or size > MAX_BLOCK:
                raise Corrupt("a block has an impossible size or type")
            if data := decoder.decompress(mark + source.exactly(1 if kind == RLE else size)):
                yield data
        if checksum and (data := decoder.decompress(source.exactly(4))):
            yield data
    except zstandard.ZstdError as error:
        raise Corrupt(_reason(str(error))) from None
    if not decoder.eof:
        raise Corrupt("a frame does not end where its last block does")


def _header_size(descriptor: int) -> int:
    """The bytes of a frame's header after its first, the descriptor."""
    single_segment = descriptor >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    return (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size


def _reason(message: str) -> str:
    if "too much memory" in message:
        return f"its window is over {MAX_WINDOW >> 20} MiB; recompress it: zstd -dc --long=31 FILE | zstd"
    if "checksum" in message:
        return "a checksum does not match; records since the frame began may be wrong"
    return message.rpartition(": ")[2].lower()


class _Source:
    """Chunks as a source of bytes, with a bounded memory of those already taken."""

    def __init__(self, chunks: Iterable[bytes], remember: int = 0) -> None:
        self._chunks = iter(chunks)
        self._remember = remember
        self._rest = memoryview(b"")
        self._past: deque[bytes] = deque()
        self._past_size = 0

    def take(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end of the stream."""
        if size <= len(self._rest):
            data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        else:
            parts, left = [], size
            while left and (part := self._some(left)):
                parts.append(part)
                left -= len(part)
            data = b"".join(parts)
        if self._remember:
            self._past.append(data)
            self._past_size += len(data)
            while self._past_size - len(self._past[0]) > self._remember:
                self._past_size -= len(self._past.popleft())
        return data

    def exactly(self, size: int, keep: bool = True) -> bytes:
        """Return `size` bytes, or b"" if not `keep`. Raises Cut at the end of the stream."""
        if keep:
            data = self.take(size)
            if len(data) < size:
                raise Cut
            return data
        while size:
            part = self.take(min(size, MAX_BLOCK))
            if not part:
                raise Cut
            size -= len(part)
        return b""

    def forget(self) -> None:
        """Drop the memory, at the start of a frame."""
        self._past.clear()
        self._past_size = 0

    def rewind(self) -> None:
        """Go back to the start of the memory."""
        self._give_back(b"".join(self._past))
        self.forget()

    def seek(self, mark: bytes) -> bool:
        """Skip to the next `mark`; False if there is none."""
        held = b""
        while more := self._some(MAX_BLOCK):
            held += more
            at = held.find(mark)
            if at >= 0:
                self._give_back(held[at:])
                return True
            held = held[1 - len(mark) :]
        return False

    def _some(self, most: int) -> bytes:
        """Return what is left of the current chunk or the next one, up to `most`; b"" at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        part, self._rest = bytes(self._rest[:most]), self._rest[most:]
        return part

    def _give_back(self, data: bytes) -> None:
        """Make `data`, taken last, the next bytes again."""
        if data:
            self._rest = memoryview(data + self._rest)
