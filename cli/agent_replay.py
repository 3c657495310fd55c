from collections.abc import Iterator
from typing import Annotated

from qvl.errors import CheckFailed

from .agent_options import ToolOptions
from .groups import without
from .options import MediaOptions, StreamOptions


def command(
    tools: ToolOptions,
    media: MediaOptions,
    stream: Annotated[StreamOptions, without("shard")],
) -> None:
    """Run the calls of recorded episodes again, and compare what comes back.

    Reads the output of qvl agent-rollout, runs every call that was answered with the tools that are named,
    and compares texts and pixels. Writes the records as they are; those of which something differs go to
    --rejects, with the turn and the call. A difference is status 3: an image was changed, the tool was, or
    it is not deterministic.

    Examples:
        $ qvl agent-replay --tool image_zoom_in_tool sampled.jsonl.zst -o same.jsonl.zst
    """
    from qvl.agent.replay import differences, num_calls
    from qvl.agent.tools.toolbox import Toolbox

    root = media.root(stream.files)
    first = ""
    with (
        Toolbox(
            tools.settings(("image_zoom_in_tool",)), root, allow_remote=media.allow_remote
        ) as box,
        stream.run("agent-replay", conserves=True, sound=True) as run,
    ):
        calls = 0

        def same() -> Iterator[dict]:
            nonlocal calls, first
            for record in run:
                calls += num_calls(record)
                found = next(differences(record, box), None)
                if found is None:
                    yield record
                    continue
                first = first or f"record {record['id']!r}: {found}"
                run.reject(record, "differs", found)

        run.write(same())
        run.note(calls=calls)
        differ = run.reasons["differs"]
    if differ:
        raise CheckFailed(f"{differ} of {run.read} records differ; the first: {first}")
