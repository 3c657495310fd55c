import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from qvl.agent import tools
from qvl.errors import CheckFailed, UserError
from qvl.io import jsonl
from qvl.record import images

from .agent_options import ToolOptions
from .options import MediaOptions, Seed


def command(
    options: ToolOptions,
    media: MediaOptions,
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Records with images, and calls to try on them"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write a record per call"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Test the tools of an agent on calls that a model may make, and images that a user may send.

    Tests the tools that are named, or image_zoom_in_tool. Yours is MODULE:FUNCTION: a function of the
    call's arguments and a context, in a module on PYTHONPATH, with its schema as attribute `schema` or as
    SCHEMA of the module; `context.image(index)` is an image that the user sent. It returns a text, an
    image, or a list of both, and raises qvl.agent.tools.ToolError to tell the model what was wrong.

    Each tool gets calls made from its schema: sound ones, which it must answer; calls without an
    argument, or with one of another type, not finite, giant or nested; and calls on images that are
    absent, cut, empty, giant (a decompression bomb), thin or outside the media root. Every call must give
    an observation in time, within the limits of text and images.

    A FILE holds your own: records whose messages have images, with `calls`, each with name, arguments
    and perhaps `expected`: ok, error, or a text that the observation must hold.

    A record of the output has tool, case, arguments, failed (whether the observation is an error), text,
    images (their sizes), seconds, and problem, which is empty if all is well. Any problem is status 3.

    Examples:
        $ qvl tool-test --tool image_zoom_in_tool -o tried.jsonl.zst
        $ qvl tool-test --tool image_search --search-folder images -o tried.jsonl.zst
    """
    from qvl.agent.tools.self_test import SelfTest
    from qvl.agent.tools.toolbox import Toolbox

    settings = options.settings(("image_zoom_in_tool",))
    with contextlib.ExitStack() as stack:
        made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qvl-tool-test-")))
        root = made if not cases else media.root(cases)
        toolbox = stack.enter_context(Toolbox(settings, root, allow_remote=media.allow_remote))
        test = SelfTest(toolbox)
        tried = 0

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal tried
            for case in _given(cases) if cases else _built_in(toolbox, made, seed):
                tried += 1
                yield _row(f"{case.tool}-{tried:04d}", test(case))

        jsonl.write(rows(), output) if output else [None for _ in rows()]
        facts = f"{tried} calls, {test.failed} failed, the slowest {test.slowest:.2f} s"
        print(f"qvl tool-test: {', '.join(toolbox.schemas)}: {facts}", file=sys.stderr)
        if test.failed:
            raise CheckFailed(f"{test.failed} of {tried} calls failed; the first: {test.first}")


def _built_in(toolbox: Any, root: Path, seed: int) -> Iterator[Any]:
    from qvl.agent.tools import self_test

    self_test.write_images(root)
    for name in toolbox.schemas:
        yield from self_test.cases(toolbox, name, seed)


def _given(files: list[str]) -> Iterator[Any]:
    from qvl.agent.tools.self_test import Case

    reader = jsonl.Reader(files)
    for record in reader:
        calls = record.get("calls")
        if not isinstance(calls, list) or not calls:
            raise UserError(
                f"{reader.place}: no calls; expected a list, each with name and arguments"
            )
        for call in calls:
            if not isinstance(call, dict) or not isinstance(call.get("name"), str):
                raise UserError(f"{reader.place}: a call without a name")
            shown = tuple(images(record))
            yield Case("given", call["name"], call.get("arguments"), shown, call.get("expected"))


def _row(identity: str, tried: Any) -> dict[str, Any]:
    case, found = tried.case, tried.observation
    parts = found.parts if found else []
    return {
        "id": identity,
        "tool": case.tool,
        "case": case.kind,
        "arguments": tools.shown(case.arguments),
        "failed": found.failed if found else None,
        "text": "".join(each for each in parts if isinstance(each, str))[:1000],
        "images": [list(each.size) for each in parts if not isinstance(each, str)],
        "seconds": round(tried.seconds, 4),
        "problem": tried.problem,
    }
