"""The options of commands that run an agent's tools."""

from typing import Annotated, ClassVar

import typer

from qvl.agent import tools
from qvl.agent.settings import AgentSettings
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
            help="Enlarge a smaller crop to this many tokens, as Qwen-Agent does",
        ),
    ] = ToolSettings.min_tokens
    search_folder: Annotated[
        str | None,
        typer.Option(
            "--search-folder", metavar="DIR", help="Folder of the images that image_search finds"
        ),
    ] = None
    tool_seconds: Annotated[
        float,
        typer.Option(
            "--tool-seconds",
            metavar="X",
            min=0.001,
            help="Maximum seconds per call of code_interpreter or of your own tool (our choice)",
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


@group
class EpisodeOptions:
    """The limits of an episode."""

    title: ClassVar = "Episode options"

    max_turns: Annotated[
        int,
        typer.Option(
            "--max-turns",
            metavar="N",
            min=1,
            help="Maximum turns of the model; a call in the last ends the episode",
        ),
    ] = AgentSettings.max_turns
    max_calls: Annotated[
        int,
        typer.Option(
            "--max-calls", metavar="N", min=1, help="Maximum calls to run per turn (our choice)"
        ),
    ] = AgentSettings.max_calls
    max_turn_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-turn-tokens", metavar="N", min=1, help="Maximum tokens to sample per turn"
        ),
    ] = None
    max_context: Annotated[
        int | None,
        typer.Option(
            "--max-context",
            metavar="TOKENS",
            min=1,
            help="Maximum tokens of prompt, turns and observations together; by default 8,192, or the "
            "model's limit if lower",
        ),
    ] = None
    tool_schemas: Annotated[
        bool,
        typer.Option(
            "--tool-schemas/--no-tool-schemas",
            help="Add the tools' schemas to the prompt of a record without `tools`",
        ),
    ] = AgentSettings.schemas
    tool_images: Annotated[
        str,
        typer.Option(
            "--tool-images",
            metavar="DIR",
            help="Folder, below the media root, for the images of tools; inline writes them into the records",
        ),
    ] = "tool-images"

    def settings(self, tools: ToolSettings, max_tokens: int) -> AgentSettings:
        return AgentSettings(
            tools=tools,
            max_turns=self.max_turns,
            max_calls=self.max_calls,
            max_tokens=max_tokens,
            max_turn_tokens=self.max_turn_tokens,
            max_context=self.max_context,
            schemas=self.tool_schemas,
            images=None if self.tool_images == "inline" else self.tool_images,
        )
