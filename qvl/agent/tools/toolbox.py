"""Call the tools of a run: whatever the arguments and whatever the tool does, there is an observation.

An error of a tool is a text that the model can read.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qvl.agent import tools
from qvl.agent.tools import Call, Context, ToolError, ToolSettings
from qvl.agent.tools.observation import Observation, bounded, failed
from qvl.agent.tools.pictures import Pictures
from qvl.agent.tools.users import UsersTool
from qvl.errors import UserError


class Toolbox:
    """The tools of a run, used as a context. Threadsafe."""

    def __init__(self, settings: ToolSettings, root: Path, *, allow_remote: bool = False) -> None:
        """UserError for an unknown tool, two of one name, or one whose needs are not met."""
        self.settings = settings
        self.pictures = Pictures(root, allow_remote=allow_remote)
        self.schemas: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, Call] = {}
        self._stack = contextlib.ExitStack()
        for each in settings.names:
            schema, call = tools.find(each)
            name = schema["function"]["name"]
            if name in self.schemas:
                raise UserError(f"{tools.FLAG} {each}: another tool is named {name}, too")
            self.schemas[name] = schema
            self._calls[name] = call if each in tools.TOOLS else UsersTool(each, settings)
        self._check()

    def __enter__(self) -> "Toolbox":
        for call in self._calls.values():
            if isinstance(call, UsersTool):
                self._stack.enter_context(call)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def context(self, references: Sequence[str]) -> Context:
        """What the tools may know of an episode whose user sent these images."""
        return Context(tuple(references), self.pictures, self.settings)

    def __call__(
        self, name: str, arguments: Any, context: Context, allowed: Sequence[str] | None = None
    ) -> Observation:
        """The observation of a call. allowed: names of the tools of this episode; None: all.

        A UserError is one of the machine, such as a sandbox that is gone, and is raised.
        """
        known = [each for each in self._calls if allowed is None or each in allowed]
        if name not in known:
            return failed(f"Error: there is no tool {tools.shown(name)}; tools: {', '.join(known)}")
        problem = _missing(arguments, self.schemas[name]["function"]["parameters"])
        if problem:
            return failed(f"Tool Execution Error {problem}")
        try:
            return Observation(bounded(self._calls[name](arguments, context)))
        except ToolError as error:
            return failed(str(error))
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (a tool's crash is an observation)
            return failed(f"Tool Execution Error {type(error).__name__}: {error}")

    def _check(self) -> None:
        if "image_search" in self._calls:
            if self.settings.search_folder is None:
                raise UserError("--tool image_search: needs --search-folder DIR")
            from qvl.agent.tools import search

            search.of_folder(self.settings.search_folder)
        if "code_interpreter" in self._calls and not self.settings.unsafe_local:
            from qvl import sandbox

            found = sandbox.probe()
            if not found.isolated:
                raise sandbox.NoIsolation(
                    f"--tool code_interpreter: needs a sandbox, but {found.reason}; or run code with "
                    "your own rights: --unsafe-local"
                )


def _missing(arguments: Any, parameters: dict[str, Any]) -> str | None:
    if not isinstance(arguments, dict):
        return "arguments: expected a JSON object"
    absent = [name for name in parameters.get("required", ()) if name not in arguments]
    return f"arguments: {', '.join(map(str, absent))} missing" if absent else None
