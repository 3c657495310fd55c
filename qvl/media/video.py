"""Read videos and sample the frames that a model sees, decoded by PyAV.

A video is a file (or what references.read takes), a folder of images, or a list of images. Frames of a
file are sampled as qwen-vl-utils 0.0.14 does: 2 per second, 4 to 768 of them, an even number, evenly
from the first to the last. Images are all taken, as 2 frames per second.

A frame is passed to `fit` as soon as it is decoded, which resizes it to what the model sees: so an hour
of a large video takes no more memory than a minute of a small one. Only demuxers of files are used:
a playlist or a session description would open files and sockets.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import need
from qvl.media import images, references
from qvl.media.errors import BrokenMedia, MediaError

if TYPE_CHECKING:
    from numpy import ndarray

FPS = 2.0  # frames sampled per second
MIN_FRAMES, MAX_FRAMES = 4, 768
FRAME_FACTOR = 2  # frames are processed in pairs
FRAMES_URI = "data:video/jpeg;base64,"  # followed by the frames, of any image type, with commas
FRAME_NAMES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")

MAX_FRAME_PIXELS = 1 << 25  # of a file: 8K; a decoder holds a dozen of them
MAX_BYTES = 1 << 32  # of all frames of a clip that are kept
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,mxf,h264,hevc"
)
CONTAINER_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}

Fit = Callable[[int, int, int], Callable[["ndarray"], "ndarray"]]
"""(number of frames, width, height) -> what to keep of each frame (H, W, 3). ValueError refuses them."""


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a video, and their times."""

    frames: "ndarray"
    """(T, H, W, 3) uint8, as `fit` left them"""
    indices: list[int]
    """The number of each frame in the video."""
    fps: float
    """Frames per second of the video, to which `indices` refer."""
    decoded_size: tuple[int, int] | None = None
    """The (width, height) of the frames in the video; None if `frames` have it."""

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the frames in the video."""
        return self.decoded_size or (self.frames.shape[2], self.frames.shape[1])

    @property
    def seconds(self) -> list[float]:
        """The time of each frame."""
        return [index / self.fps for index in self.indices]


def whole(num_frames: int, width: int, height: int) -> Callable[["ndarray"], "ndarray"]:
    """The Fit that keeps frames as they are, within MAX_BYTES."""
    if num_frames * width * height * 3 > MAX_BYTES:
        size = f"{num_frames} frames of {width}x{height}"
        raise ValueError(f"{size}: more than {MAX_BYTES >> 20} MiB of pixels")
    return lambda frame: frame


def unseen(num_frames: int, width: int, height: int) -> Callable[["ndarray"], "ndarray"]:
    """The Fit that keeps no pixels, for a clip that is read to be checked and measured."""
    return lambda frame: frame[:0, :0]


def read(
    reference: str | Sequence[str], root: Path, *, allow_remote: bool = False, fit: Fit = whole
) -> Clip:
    """The clip of a reference. MediaError if it is missing, unreadable or not allowed."""
    if not isinstance(reference, str):
        _check_count(reference)
        contents = (references.read(each, root, allow_remote=allow_remote) for each in reference)
        return of_images(contents, reference, fit)
    if reference.startswith(FRAMES_URI):
        parts = reference.removeprefix(FRAMES_URI).split(",")
        return read([f"data:image/jpeg;base64,{each}" for each in parts], root, fit=fit)
    paths = frames_of_folder(reference, root)
    if paths is not None:
        return read(paths, root, fit=fit)
    content = references.read(reference, root, allow_remote=allow_remote, kind="video")
    return decode(content, references.brief(reference), fit)


def frames_of_folder(reference: str, root: Path) -> list[str] | None:
    """The images in a folder, sorted by name, as references below `root`; None if not a folder."""
    if references.is_data(reference) or references.is_remote(reference):
        return None
    folder = references.resolve(reference, root, kind="video")
    try:
        if not folder.is_dir():
            return None
        names = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in FRAME_NAMES)
    except OSError as error:
        raise MediaError(f"video {folder}: {error.strerror}") from None
    if not names:
        raise BrokenMedia(f"video {folder}: the folder has no images")
    return [f"{reference.rstrip('/')}/{name}" for name in names]


def of_images(contents: Iterable[bytes], names: Sequence[str], fit: Fit = whole) -> Clip:
    """A clip of images as frames; the last one is repeated if their number is odd."""
    numpy = need("numpy")
    _check_count(names)
    count = len(names) + len(names) % FRAME_FACTOR
    size, keep, kept = None, None, []
    for content, name in zip(contents, names, strict=True):
        image = images.decode(content, name)
        if size is None or keep is None:
            size = image.size
            try:
                keep = fit(count, *size)
            except ValueError as error:
                raise BrokenMedia(f"video {references.brief(names[0])}, ...: {error}") from None
        if image.size != size:
            two = " and ".join(f"{width}x{height}" for width, height in sorted((image.size, size)))
            first = references.brief(names[0])
            raise BrokenMedia(f"video {first}, ...: frames of different sizes, {two}")
        kept.append(keep(numpy.array(image)))
    assert size is not None
    kept += kept[-1:] * (count - len(kept))
    return Clip(numpy.stack(kept), list(range(count)), FPS, size)


def decode(content: bytes, name: str, fit: Fit = whole) -> Clip:
    """The clip of a video file's content. BrokenMedia, with `name`, if it is none."""
    av, numpy = need("av", extra="data"), need("numpy")
    with _reasons(av, name):
        total, fps = _count(av, content)
        wanted = choose(total, fps)
        size, kept = _kept(av, content, wanted, fit)
        if len(kept) != len(wanted):  # a packet without a frame: count the decoded frames instead
            total = sum(1 for _ in _decoded(av, content))
            wanted = choose(total, fps)
            size, kept = _kept(av, content, wanted, fit)
        return Clip(numpy.stack(kept), wanted, fps, size)


@contextmanager
def _reasons(av: Any, name: str) -> Iterator[None]:
    """What goes wrong with the file inside becomes BrokenMedia."""
    try:
        yield
    except av.error.ArgumentError:  # what avformat_open_input returns for another demuxer
        raise BrokenMedia(f"video {name}: is no video file of a known format") from None
    except (av.FFmpegError, *images.BROKEN) as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise BrokenMedia(f"video {name}: {reason}") from None


def _check_count(frames: Sequence[str]) -> None:
    if not frames:
        raise BrokenMedia("a video without frames")
    if len(frames) > MAX_FRAMES:
        raise BrokenMedia(
            f"video {references.brief(frames[0])}, ...: {len(frames):,} images, at most "
            f"{MAX_FRAMES} are a video; choose some"
        )


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
    numpy = need("numpy")
    step = numpy.float32(last) / numpy.float32(count - 1)
    places = numpy.arange(count, dtype=numpy.float32)
    ahead, behind = step * places, numpy.float32(last) - step * places[::-1]
    spread = numpy.where(numpy.arange(count) < count // 2, ahead, behind)
    return numpy.round(spread).astype(int).tolist()


def _count(av: Any, content: bytes) -> tuple[int, float]:
    """The number of frames, from their packets, and the frames per second."""
    with _opened(av, content) as (file, stream):
        if not stream.average_rate:
            raise ValueError("its frame rate is unknown")
        total = sum(1 for packet in file.demux(stream) if packet.size)
        return total, float(stream.average_rate)


def _kept(
    av: Any, content: bytes, wanted: list[int], fit: Fit
) -> "tuple[tuple[int, int], list[ndarray]]":
    """The (width, height) of the `wanted` frames, and what `fit` keeps of each (H, W, 3) uint8."""
    chosen, last = set(wanted), wanted[-1]
    size, keep, kept = (0, 0), None, []
    for index, frame in enumerate(_decoded(av, content)):
        if index in chosen:
            if keep is None:
                size = frame.width, frame.height
                keep = fit(len(wanted), *size)
            if (frame.width, frame.height) != size:
                raise ValueError("the size of its frames changes")
            kept.append(keep(frame.to_ndarray(format="rgb24")))
        if index == last:
            break
    return size, kept


def _decoded(av: Any, content: bytes) -> Iterator[Any]:
    with _opened(av, content) as (file, stream):
        stream.thread_type = "AUTO"
        yield from file.decode(stream)


@contextmanager
def _opened(av: Any, content: bytes) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream, whose decoder refuses frames over the limit."""
    with av.open(io.BytesIO(content), options=CONTAINER_OPTIONS) as file:
        if not file.streams.video:
            raise ValueError("it has no video stream")
        stream = file.streams.video[0]
        decoder = stream.codec_context
        if decoder.width * decoder.height > MAX_FRAME_PIXELS:
            raise ValueError(
                f"{decoder.width}x{decoder.height}: more than {MAX_FRAME_PIXELS:,} pixels per frame"
            )
        decoder.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        yield file, stream
