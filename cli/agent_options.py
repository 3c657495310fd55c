"""The options of commands that run an agent's tools."""

from typing import Annotated, ClassVar

import typer

from qvl.agent import tools
from qvl.agent.tools import ToolSettings

from .groups import group


@group
class ToolOptions:
    """Which tools an agent has."""

    title: ClassVar = "Tool options"

    tool: Annotated[
        list[str] | None,
        typer.Option(
            "--tool",
            "--tools",
            metavar="NAME[,NAME]",
            help=f"Tools: {', '.join(tools.TOOLS)}, or your own MODULE:FUNCTION; repeatable",
        ),
    ] = None
    zoom_min_tokens: Annotated[
        int,
        typer.Option(
            "--zoom-min-tokens",
            metavar="N",
            min=1,
            help="Enlarge a crop to this many tokens, as Qwen-Agent does",
        ),
    ] = ToolSettings.min_tokens
    search_folder: Annotated[
        str | None,
        typer.Option("--search-folder", metavar="DIR", help="Images that image_search finds"),
    ] = None
    tool_seconds: Annotated[
        float,
        typer.Option(
            "--tool-seconds",
            metavar="X",
            min=0.001,
            help="Maximum seconds of a call of code, or of your own tool (our choice)",
        ),
    ] = ToolSettings.seconds
    unsafe_local: Annotated[
        bool,
        typer.Option("--unsafe-local", help="Run code without isolation where there is no sandbox"),
    ] = False

    def settings(self, default: tuple[str, ...] = ()) -> ToolSettings:
        """default: the tools where none is named."""
        words = (word.strip() for each in self.tool or () for word in each.split(","))
        return ToolSettings(
            names=tuple(word for word in words if word) or default,
            min_tokens=self.zoom_min_tokens,
            search_folder=self.search_folder,
            seconds=self.tool_seconds,
            unsafe_local=self.unsafe_local,
        )
