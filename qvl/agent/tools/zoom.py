"""image_zoom_in_tool: crop an image that the user sent, and show the crop larger.

The contract is that of Qwen-Agent and the cookbook think_with_images.ipynb: see qvl.media.zoom. `img_idx`
counts only the images that the user sent, and a box always refers to the original, whatever crops came
since; to look closer, the model gives a smaller box (QwenLM/Qwen3-VL issue 1667). The schema is Qwen-Agent's.
"""

from typing import TYPE_CHECKING, Any

from qvl.agent.tools import Context, ToolError, shown
from qvl.media import zoom

if TYPE_CHECKING:
    from PIL.Image import Image

SCHEMA = {
    "type": "function",
    "function": {
        "name": "image_zoom_in_tool",
        "description": "Zoom in on a specific region of an image by cropping it based on a bounding box "
        "(bbox) and an optional object label",
        "parameters": {
            "type": "object",
            "properties": {
                "bbox_2d": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                    "description": "The bounding box of the region to zoom in, as [x1, y1, x2, y2], where "
                    "(x1, y1) is the top-left corner and (x2, y2) is the bottom-right corner",
                },
                "label": {
                    "type": "string",
                    "description": "The name or label of the object in the specified bounding box",
                },
                "img_idx": {
                    "type": "number",
                    "description": "The index of the zoomed-in image (starting from 0)",
                },
            },
            "required": ["bbox_2d", "label", "img_idx"],
        },
    },
}


def call(arguments: dict[str, Any], context: Context) -> "Image":
    """The crop of the box, at least `min_tokens` tokens large."""
    image = context.image(arguments["img_idx"])
    box = arguments["bbox_2d"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise ToolError(
            f"Tool Execution Error bbox_2d {shown(box)}: expected four numbers, [x1, y1, x2, y2]"
        )
    try:
        return zoom.crop(image, box, context.settings.min_tokens)
    except (ValueError, OverflowError) as error:
        raise ToolError(f"Tool Execution Error {error}") from None


def _is_number(value: Any) -> bool:
    # An integer of a thousand digits is no float.
    return isinstance(value, float) or (type(value) is int and abs(value) < 1 << 53)
