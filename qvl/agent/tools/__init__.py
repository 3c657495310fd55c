"""The tools of an agent: a call's arguments in, an observation out.

A tool is a module with a line in TOOLS. It exports

    SCHEMA                          the function's JSON schema, as OpenAI writes it and the chat template
                                    shows it to the model
    call(arguments, context)        the observation: a text, an image (PIL), or a list of both

A call that cannot be answered raises ToolError: its text is what the model reads, so it says what was
wrong and what to write instead. A tool knows the images that the user sent, and nothing else of the
record or of the disk; it never sees the answer.

A user's own tool is "package.module:function", the function being `call`. Its schema is the attribute
`schema` of the function, or SCHEMA of the module. It runs in a process of its own, which is killed when
a call takes too long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from qvl.errors import UserError
from qvl.media import zoom

if TYPE_CHECKING:
    from PIL.Image import Image

    from qvl.agent.tools.pictures import Pictures

TOOLS = {  # name -> module; imported when it is asked for
    "image_zoom_in_tool": "qvl.agent.tools.zoom",
    "image_search": "qvl.agent.tools.search",
    "code_interpreter": "qvl.agent.tools.code",
}
SECONDS = 20.0  # of a call: our choice
MAX_CHARACTERS = 16_384  # of the texts of an observation; the rest is cut. Our choice
MAX_IMAGES = 8  # of an observation: our choice
FLAG = "--tool"


class ToolError(Exception):
    """A call that cannot be answered; its text is the observation."""


@dataclass(frozen=True, kw_only=True)
class ToolSettings:
    """Which tools an agent has, and their limits; plain values, for another process."""

    names: tuple[str, ...] = ()
    """Names in TOOLS, or "module:function"."""
    min_tokens: int = zoom.MIN_TOKENS
    """Of a crop of image_zoom_in_tool."""
    search_folder: str | None = None
    """The images that image_search finds."""
    seconds: float = SECONDS
    """Time limit of a call of code or of a user's tool."""
    unsafe_local: bool = False
    """Run code without isolation where there is no sandbox."""
    jobs: int = 2
    """Processes per user's tool. Our choice."""


class Context(NamedTuple):
    """What a tool may know of the episode that calls it."""

    images: Sequence[str]
    """References of the images that the user sent, in their order; those of tools are not among them."""
    pictures: "Pictures"
    """Opens them."""
    settings: ToolSettings

    def image(self, index: Any, name: str = "img_idx") -> "Image":
        """The user's image of an argument. ToolError if there is none, or it cannot be read."""
        from qvl.media.errors import MediaError

        is_number = isinstance(index, int | float) and not isinstance(index, bool)
        if not is_number or index not in range(len(self.images)):
            raise ToolError(
                f"Error: Invalid input image: {name} is {shown(index)}, and the user sent "
                f"{len(self.images)}, numbered from 0"
            )
        try:
            return self.pictures(self.images[int(index)])
        except MediaError as error:
            raise ToolError(f"Error: Invalid input image: {error}") from None


Call = Callable[[dict[str, Any], Context], Any]


def find(name: str) -> tuple[dict[str, Any], Call]:
    """(schema, call) of a tool by its name, or of "module:function". UserError."""
    where = TOOLS.get(name, name)
    module, colon, function = where.partition(":")
    if not colon and name not in TOOLS:
        raise UserError(
            f"{FLAG} {name}: no such tool; known: {', '.join(TOOLS)}; or give MODULE:FUNCTION"
        )
    try:
        loaded: Any = import_module(module)
        call = getattr(loaded, function or "call")
    except (ImportError, AttributeError) as error:
        raise UserError(f"{FLAG} {name}: {error}") from None
    schema: Any = getattr(call, "schema", None) or getattr(loaded, "SCHEMA", None)
    problem = _schema_problem(schema)
    if problem:
        raise UserError(
            f"{FLAG} {name}: {problem}; expected {function or 'call'}.schema or SCHEMA as OpenAI "
            'writes it, {"type": "function", "function": {"name": ..., "parameters": {...}}}'
        )
    return schema, call


def shown(value: Any) -> str:
    """An argument, shortened for an observation."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _schema_problem(schema: Any) -> str | None:
    if not isinstance(schema, dict) or not isinstance(schema.get("function"), dict):
        return "it has no schema of a function"
    function = schema["function"]
    if not isinstance(function.get("name"), str) or not function["name"]:
        return "its schema has no name"
    parameters = function.get("parameters")
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        return 'its schema has no parameters of type "object"'
    return None
