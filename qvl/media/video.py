"""Videos behind a record's references: which of their frames a model sees, decoded by PyAV.

A video is a file (or what images.read takes), a folder of images, or a list of them. Frames of a file
are chosen as qwen-vl-utils 0.0.14 does: 2 a second, 4 to 768 of them, an even number, spread from
the first to the last. Images given as frames are all taken, as one every half second.
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

FPS = 2.0  # frames of a second that are taken
MIN_FRAMES, MAX_FRAMES = 4, 768
FRAME_FACTOR = 2  # frames are seen in pairs
FRAMES_URI = "data:video/jpeg;base64,"  # then each frame, of whatever kind, between commas
FRAME_NAMES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Clip:
    """The frames that are seen, and when."""

    frames: "ndarray"
    """(T, H, W, 3) uint8"""
    indices: list[int]
    """of each frame in the video"""
    fps: float
    """frames of a second of the video: what indices count"""

    @property
    def seconds(self) -> list[float]:
        """When each frame is shown."""
        return [index / self.fps for index in self.indices]


def read(reference: str | Sequence[str], root: Path, *, allow_remote: bool = False) -> Clip:
    """The clip behind a reference. UserError where it is missing, unreadable or not allowed."""
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
    """The images in a folder by name, as references below `root`; None where it is no folder."""
    if reference.startswith(("data:", "http://", "https://")):
        return None
    folder = images.resolve(reference, root)
    if not folder.is_dir():
        return None
    names = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in FRAME_NAMES)
    if not names:
        raise UserError(f"video {folder}: a folder without images")
    return [f"{reference.rstrip('/')}/{name}" for name in names]


def of_images(contents: Sequence[bytes], names: Sequence[str]) -> Clip:
    """Images as the frames of a clip; the last stands once more where they are odd in number."""
    numpy = need("numpy", extra="data")
    if not contents:
        raise UserError("a video of no frames")
    pairs = zip(contents, names, strict=True)
    frames = [numpy.asarray(images.decode(content, name)) for content, name in pairs]
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        said = " and ".join(f"{width}x{height}" for height, width, _ in sorted(sizes)[:2])
        raise UserError(f"video {names[0]}, ...: frames of unlike sizes, {said}")
    frames += frames[-1:] * (-len(frames) % FRAME_FACTOR)
    return Clip(numpy.stack(frames), list(range(len(frames))), FPS)


def decode(content: bytes, name: str) -> Clip:
    """The clip of a video file; `name` is for errors."""
    av, numpy = need("av", extra="data"), need("numpy", extra="data")
    try:
        total, fps = _count(av, content)
        wanted = choose(total, fps)
        frames = list(_frames(av, content, set(wanted)))
        if len(frames) != len(wanted):  # a packet that holds no frame: count what is decoded
            total = sum(1 for _ in _decoded(av, content))
            wanted = choose(total, fps)
            frames = list(_frames(av, content, set(wanted)))
    except (av.FFmpegError, ValueError, IndexError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"video {name}: {said}") from None
    if len({frame.shape for frame in frames}) != 1:
        raise UserError(f"video {name}: its frames change their size")
    return Clip(numpy.stack(frames), wanted, fps)


def choose(total: int, fps: float) -> list[int]:
    """The frames to take of a video of `total` at `fps` a second. ValueError where it has too few."""
    least = -(-MIN_FRAMES // FRAME_FACTOR) * FRAME_FACTOR
    most = min(MAX_FRAMES, total) // FRAME_FACTOR * FRAME_FACTOR
    count = int(min(max(total / fps * FPS, least), most, total) // FRAME_FACTOR * FRAME_FACTOR)
    if count < FRAME_FACTOR:
        raise ValueError(f"{total} frames; {FRAME_FACTOR} are the fewest")
    return _spread(total - 1, count)


def _spread(last: int, count: int) -> list[int]:
    """`count` numbers from 0 to `last` at equal distances, rounded: torch.linspace in fp32, whose
    second half counts from the end, so that halves round as they do there."""
    numpy = need("numpy", extra="data")
    step = numpy.float32(last) / numpy.float32(count - 1)
    places = numpy.arange(count, dtype=numpy.float32)
    ahead, behind = step * places, numpy.float32(last) - step * places[::-1]
    spread = numpy.where(numpy.arange(count) < count // 2, ahead, behind)
    return numpy.round(spread).astype(int).tolist()


def _count(av: Any, content: bytes) -> tuple[int, float]:
    """Frames, by their packets, and frames of a second."""
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.video[0]
        if not stream.average_rate:
            raise ValueError("it does not say how many frames a second has")
        total = sum(1 for packet in file.demux(stream) if packet.size)
        return total, float(stream.average_rate)


def _frames(av: Any, content: bytes, wanted: set[int]) -> Iterator["ndarray"]:
    """(H, W, 3) uint8 of each frame that is wanted; no others are kept."""
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
