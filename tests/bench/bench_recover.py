"""What `qvl recover` costs beside `qvl cat`, on streams of several shapes, sound and damaged.

Costs are CPU seconds on all cores, start included, in interleaved rounds: see bench_streams. `cat` ends at
the damage, so `recover` of the damaged stream is compared with `cat` of the sound one. Where a stream is one
frame, a changed byte in its middle may leave half of it, and nothing of a single line.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import chat_records
import pytest
import zstandard
from bench_streams import COUNT, RUNS, interleaved, median, qvl, ratio

WIDE = 40_000_000  # bytes of one line
COMPRESSOR = zstandard.ZstdCompressor(level=3, write_checksum=True)


def small(count: int) -> Iterator[bytes]:
    """Lines of 30 bytes: here a record's own costs count most."""
    draw = random.Random(0)
    return (b'{"id":"%08d","answer":%d}\n' % (n, draw.randrange(10**4)) for n in range(count))


def changed(content: bytes, place: int) -> bytes:
    """With another byte at a place."""
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


def one_frame(text: bytes) -> tuple[bytes, bytes]:
    """The stream, sound and damaged in its middle."""
    sound = COMPRESSOR.compress(text)
    return sound, changed(sound, len(sound) // 2)


def chat(folder: Path) -> tuple[bytes, bytes]:
    sound = chat_records.write(folder / "chat.zst", COUNT).read_bytes()
    return sound, changed(sound, len(sound) // 2)


def frames(folder: Path) -> tuple[bytes, bytes]:
    """As of many files of one record, joined by cat; sound, and with a damaged checksum in each."""
    found = [COMPRESSOR.compress(line) for line in small(COUNT)]
    return b"".join(found), b"".join(changed(frame, len(frame) - 1) for frame in found)


def wide(folder: Path) -> tuple[bytes, bytes]:
    words = " ".join(chat_records.texts()).encode()
    text = (words * (WIDE // len(words) + 1))[:WIDE]
    return one_frame(b'{"id":"a","messages":[{"role":"user","content":"%b"}]}\n' % text)


STREAMS: dict[str, Callable[[Path], tuple[bytes, bytes]]] = {
    "chat records": chat,
    "small records": lambda folder: one_frame(b"".join(small(10 * COUNT))),
    "a frame per record": frames,
    "one wide line": wide,
}


@pytest.mark.parametrize("name", STREAMS)
def test_recover_beside_cat(name, tmp_path):
    """Lower is better; 3 is what `recover` may cost."""
    paths = [tmp_path / "sound.zst", tmp_path / "damaged.zst"]
    for path, content in zip(paths, STREAMS[name](tmp_path), strict=True):
        path.write_bytes(content)
    recover = "recover {in} -o {out} --rejects {rest}"
    jobs = {
        "qvl cat": qvl("cat {in} -o {out}", paths[0], tmp_path),
        "qvl recover": qvl(recover, paths[0], tmp_path),
        "of the damaged": qvl(recover, paths[1], tmp_path),
    }
    costs = interleaved(jobs)
    print(f"\n{name}, {paths[0].stat().st_size / 1e6:.1f} MB, {RUNS} rounds")
    for job, found in costs.items():
        line = f"{job:<16}{median(found, 'cpu_seconds'):>7.2f} CPU s"
        line += f"{median(found, 'mib'):>6.0f} MiB"
        print(line + ("" if job == "qvl cat" else f"  {ratio(found, costs['qvl cat'])} to cat"))
