"""image_search: the images of a local folder that look most like one that the user sent.

The schema is Qwen-Agent's (qwen_agent/tools/image_search.py), whose tool asks a web service; this one
searches a folder, so that a run repeats. A result has the image's title and text: those of `NAME.txt`
beside it, the title on the first line; without, the title is its name.

Likeness is the cosine of two thumbnails of 16 x 16 colours, as differences to a middle grey: it finds
copies, crops with little cut off, and pictures of like colours, not other views of the same thing.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qvl.agent.tools import Context, ToolError
from qvl.errors import UserError, need
from qvl.media import images
from qvl.media.errors import MediaError
from qvl.media.video import FRAME_NAMES

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

SIDE = 16  # of a thumbnail
GREY = 127.5
RESULTS = 5  # our choice
SHOWN_PIXELS = 512 * 512  # of a result's image: 256 tokens, as of a crop
MAX_TEXT = 1000  # characters of a result

SCHEMA = {
    "type": "function",
    "function": {
        "name": "image_search",
        "description": "Image search engine, input the image and search for similar images with image "
        "information.",
        "parameters": {
            "type": "object",
            "properties": {
                "img_idx": {
                    "type": "number",
                    "description": "The index of the image (starting from 0)",
                }
            },
            "required": ["img_idx"],
        },
    },
}


class Entry(NamedTuple):
    """An image of the folder."""

    name: str
    title: str
    text: str


class Index(NamedTuple):
    """The images of a folder."""

    root: Path
    entries: list[Entry]
    looks: "ndarray"
    """(N, 3 * SIDE * SIDE) float32, each of length 1"""
    unreadable: list[str]


def call(arguments: dict[str, Any], context: Context) -> list[Any]:
    """The most similar images, each after its title and text."""
    folder = context.settings.search_folder
    assert folder is not None  # the toolbox has checked it
    image = context.image(arguments["img_idx"])
    index = of_folder(folder)
    likeness = index.looks @ look(image)
    best = sorted(range(len(index.entries)), key=lambda place: (-likeness[place], place))[:RESULTS]
    found: list[Any] = []
    for number, place in enumerate(best, 1):
        entry = index.entries[place]
        found.append(f'[{number}] "{entry.name}" {entry.title}\n{entry.text}'.strip())
        try:
            found.append(_small(images.load(entry.name, index.root)))
        except MediaError as error:  # it has changed since it was indexed
            raise ToolError(f"Tool Execution Error {error}") from None
    return found or ["No image was found."]


@functools.lru_cache(maxsize=4)
def of_folder(folder: str) -> Index:
    """The index of a folder and those below it, in memory. UserError if it holds no image."""
    numpy = need("numpy")
    root = Path(folder)
    paths = sorted(each for each in root.rglob("*") if each.suffix.lower() in FRAME_NAMES)
    entries, looks, unreadable = [], [], []
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            looks.append(look(images.load(name, root)))
        except MediaError:
            unreadable.append(name)
            continue
        entries.append(_entry(path, name))
    if not entries:
        raise UserError(f"--search-folder {folder}: holds no image that can be read")
    return Index(root, entries, numpy.stack(looks), unreadable)


def look(image: "Image") -> "ndarray":
    """(3 * SIDE * SIDE,) float32: the thumbnail, of length 1."""
    numpy = need("numpy")
    box = need("PIL.Image").Resampling.BOX
    found = numpy.asarray(image.resize((SIDE, SIDE), box), dtype=numpy.float32).ravel() - GREY
    return found / numpy.linalg.norm(found)


def _entry(path: Path, name: str) -> Entry:
    text = path.with_suffix(".txt")
    if not text.is_file():
        return Entry(name, path.stem, "")
    with text.open(encoding="utf-8", errors="replace") as file:
        title, _, rest = file.read(MAX_TEXT).partition("\n")
    return Entry(name, title.strip(), rest.strip())


def _small(image: "Image") -> "Image":
    scale = (SHOWN_PIXELS / (image.width * image.height)) ** 0.5
    if scale >= 1:
        return image
    bicubic = need("PIL.Image").Resampling.BICUBIC
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), bicubic
    )
