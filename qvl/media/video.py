"""Read videos and sample the frames that a model sees, decoded by PyAV.

A video is a file (or what images.read takes), a folder of images, or a list of images. Frames of a
file are sampled as qwen-vl-utils 0.0.14 does: 2 per second, 4 to 768 of them, an even number, evenly
from the first to the last. Images are all taken, as 2 frames per second.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import UserError, need
from qvl.media import images

if TYPE_CHECKING:
    from numpy import ndarray

FPS = 2.0  # frames sampled per second
MIN_FRAMES, MAX_FRAMES = 4, 768
FRAME_FACTOR = 2  # frames are processed in pairs
FRAMES_URI = "data:video/jpeg;base64,"  # followed by the frames, of any image type, with commas
FRAME_NAMES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a video, and their times."""

    frames: "ndarray"
    """(T, H, W, 3) uint8"""
    indices: list[int]
    """The number of each frame in the video."""
    fps: float
    """Frames per second of the video, to which `indices` refer."""

    @property
    def seconds(self) -> list[float]:
        """The time of each frame."""
        return [index / self.fps for index in self.indices]


def read(reference: str | Sequence[str], root: Path, *, allow_remote: bool = False) -> Clip:
    """The clip of a reference. UserError if it is missing, unreadable or not allowed."""
    if not isinstance(reference, str):
        return of_images(
            [images.read(each, root, allow_remote=allow_remote) for each in reference],
            [images.brief(each) for each in reference],
        )
    if reference.startswith(FRAMES_URI):
        parts = reference.removeprefix(FRAMES_URI).split(",")
        return read([f"data:image/jpeg;base64,{each}" for each in parts], root)
    paths = frames_of_folder(reference, root)
    if paths is not None:
        return read(paths, root)
    return decode(images.read(reference, root, allow_remote=allow_remote), images.brief(reference))


def frames_of_folder(reference: str, root: Path) -> list[str] | None:
    """The images in a folder, sorted by name, as references below `root`; None if not a folder."""
    if reference.startswith(("data:", "http://", "https://")):
        return None
    folder = images.resolve(reference, root)
    if not folder.is_dir():
        return None
    names = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in FRAME_NAMES)
    if not names:
        raise UserError(f"video {folder}: the folder has no images")
    return [f"{reference.rstrip('/')}/{name}" for name in names]


def of_images(contents: Sequence[bytes], names: Sequence[str]) -> Clip:
    """A clip of images as frames; the last one is repeated if their number is odd."""
    numpy = need("numpy", extra="data")
    if not contents:
        raise UserError("a video without frames")
    pairs = zip(contents, names, strict=True)
    frames = [numpy.asarray(images.decode(content, name)) for content, name in pairs]
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        two = " and ".join(f"{width}x{height}" for height, width, _ in sorted(sizes)[:2])
        raise UserError(f"video {names[0]}, ...: frames of different sizes, {two}")
    frames += frames[-1:] * (-len(frames) % FRAME_FACTOR)
    return Clip(numpy.stack(frames), list(range(len(frames))), FPS)


def decode(content: bytes, name: str) -> Clip:
    """The clip of a video file's content. UserError, with `name`, if it is unreadable."""
    av, numpy = need("av", extra="data"), need("numpy", extra="data")
    try:
        total, fps = _count(av, content)
        wanted = choose(total, fps)
        frames = list(_frames(av, content, set(wanted)))
        if len(frames) != len(wanted):  # a packet without a frame: count the decoded frames instead
            total = sum(1 for _ in _decoded(av, content))
            wanted = choose(total, fps)
            frames = list(_frames(av, content, set(wanted)))
    except (av.FFmpegError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"video {name}: {reason}") from None
    if len({frame.shape for frame in frames}) != 1:
        raise UserError(f"video {name}: the size of its frames changes")
    return Clip(numpy.stack(frames), wanted, fps)


def choose(total: int, fps: float) -> list[int]:
    """The frames to sample of `total` at `fps` per second. ValueError if there are too few."""
    least = -(-MIN_FRAMES // FRAME_FACTOR) * FRAME_FACTOR
    most = min(MAX_FRAMES, total) // FRAME_FACTOR * FRAME_FACTOR
    count = int(min(max(total / fps * FPS, least), most, total) // FRAME_FACTOR * FRAME_FACTOR)
    if count < FRAME_FACTOR:
        raise ValueError(f"{total} frames; at least {FRAME_FACTOR} are needed")
    return _spread(total - 1, count)


def _spread(last: int, count: int) -> list[int]:
    """`count` numbers from 0 to `last` at equal distances, rounded.

    Computed as torch.linspace in fp32, whose second half counts from the end, to round halves alike.
    """
    numpy = need("numpy", extra="data")
    step = numpy.float32(last) / numpy.float32(count - 1)
    places = numpy.arange(count, dtype=numpy.float32)
    ahead, behind = step * places, numpy.float32(last) - step * places[::-1]
    spread = numpy.where(numpy.arange(count) < count // 2, ahead, behind)
    return numpy.round(spread).astype(int).tolist()


def _count(av: Any, content: bytes) -> tuple[int, float]:
    """The number of frames, from their packets, and the frames per second."""
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.video[0]
        if not stream.average_rate:
            raise ValueError("its frame rate is unknown")
        total = sum(1 for packet in file.demux(stream) if packet.size)
        return total, float(stream.average_rate)


def _frames(av: Any, content: bytes, wanted: set[int]) -> Iterator["ndarray"]:
    """Yield the `wanted` frames, (H, W, 3) uint8."""
    last = max(wanted)
    for index, frame in enumerate(_decoded(av, content)):
        if index in wanted:
            yield frame.to_ndarray(format="rgb24")
        if index == last:
            return


def _decoded(av: Any, content: bytes) -> Iterator[Any]:
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        yield from file.decode(stream)
