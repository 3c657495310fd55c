"""What a tool returns, within the limits of what an agent reads and a run keeps.

MAX_CHARACTERS of text, MAX_IMAGES, and images that the image processors of Qwen3-VL take.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from qvl.agent.tools import MAX_CHARACTERS, MAX_IMAGES, ToolError
from qvl.errors import need
from qvl.media import images
from qvl.media.patches import MAX_ASPECT_RATIO

if TYPE_CHECKING:
    from PIL.Image import Image

CUT = "\n... (cut)"


class Observation(NamedTuple):
    """What comes back for one call."""

    parts: "list[str | Image]"
    failed: bool = False
    """The tool could not answer; the text says why."""


def bounded(value: Any) -> "list[str | Image]":
    """What a tool returned, as parts within the limits. ToolError where it cannot be shown."""
    parts: list[str | Image] = []
    left, shown = MAX_CHARACTERS, 0
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, str):
            if len(each) > left:
                each = each[:left] + CUT
            if left > 0:
                parts.append(each)
            left -= len(each)
        elif isinstance(each, need("PIL.Image").Image):
            shown += 1
            if shown <= MAX_IMAGES:
                parts.append(_checked(each))
        else:
            raise ToolError(
                f"Tool Execution Error it returned {type(each).__name__}; expected text or an image"
            )
    if shown > MAX_IMAGES:
        parts.append(f"({shown - MAX_IMAGES} more images are not shown)")
    if not parts:
        raise ToolError("Tool Execution Error it returned nothing")
    return parts


def _checked(image: "Image") -> "Image":
    width, height = image.size
    if min(width, height) < 1 or width * height > images.MAX_PIXELS:
        raise ToolError(f"Tool Execution Error its image has {width}x{height} pixels")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ToolError(
            f"Tool Execution Error {width}x{height}: thinner than 1:{MAX_ASPECT_RATIO}; choose a "
            "region that is less narrow"
        )
    return image if image.mode == "RGB" else images.on_white(image)


def failed(text: str) -> Observation:
    """The observation of a call that could not be answered."""
    return Observation([text[:MAX_CHARACTERS]], failed=True)
