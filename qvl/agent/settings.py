"""The limits of an episode; plain values, for another process."""

import os
from dataclasses import dataclass, field

from qvl.agent.tools import ToolSettings
from qvl.errors import UserError

MAX_TURNS = 6  # in training, Mini-o3 (arXiv 2509.07969, section 4)
MAX_CALLS = 8  # per turn: our choice
MAX_TOKENS = 8192  # sampled, of an episode: our choice


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How an agent works."""

    tools: ToolSettings = field(default_factory=ToolSettings)
    max_turns: int = MAX_TURNS
    """Of the model; a call in the last one is not run."""
    max_calls: int = MAX_CALLS
    """Per turn; further ones are answered, and not run."""
    max_tokens: int = MAX_TOKENS
    """Sampled, of an episode."""
    max_turn_tokens: int | None = None
    """Sampled, of a turn; None: what is left of the episode's."""
    max_context: int | None = None
    """Of prompt, turns and observations; None: what the model's config.json says."""
    schemas: bool = True
    """Write the tools' schemas into the prompt of a record without `tools`."""
    images: str | None = "tool-images"
    """Folder below the media root for the images of tools; None: data: URIs."""
    threads: int = min(32, (os.cpu_count() or 1) + 4)
    """That read turns and run tools: as many as Python's own pools have, as more wait for each other (our choice)."""

    def check(self) -> None:
        """UserError where nothing can be called."""
        if not self.tools.names:
            raise UserError("no tool; give --tool NAME")
