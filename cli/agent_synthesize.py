import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from qvl.agent.synthesis.questions import KINDS, MAX_AREA
from qvl.agent.synthesis.synthesize import PER_IMAGE
from qvl.agent.tools import ToolSettings
from qvl.errors import UserError

from .options import MediaOptions, Seed, StreamOptions


def command(
    media: MediaOptions,
    stream: StreamOptions,
    coco: Annotated[
        list[str] | None,
        typer.Option(
            "--coco", metavar="FILE", help="COCO-style JSON, instead of records; repeatable"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Hugging Face folder of the agent: how large it sees images is then known",
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option(metavar="KIND,...", help="Kinds of questions to ask")
    ] = ",".join(KINDS),
    per_image: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum questions per image (our choice)")
    ] = PER_IMAGE,
    max_area: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0,
            max=1,
            help="Largest object to ask about, as a share of the image (our choice)",
        ),
    ] = MAX_AREA,
    zoom_min_tokens: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Enlarge a crop to this many tokens"),
    ] = ToolSettings.min_tokens,
    tool_images: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Folder below the media root for the crops; inline: in the records",
        ),
    ] = "tool-images",
    tool_schemas: Annotated[
        bool,
        typer.Option(
            "--tool-schemas/--no-tool-schemas", help="Write the tool's schema into records"
        ),
    ] = True,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Write thoughts to reasoning_content")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Make the cold start of an agent from annotated images: questions that one zoom answers.

    Reads records with one image and `objects`: label, bbox_2d in thousandths, and perhaps attributes
    ({"colour": "red"}), text (what is written on it) and crowd; or the boxes of a grounding answer; or COCO-style
    JSON, whose annotations may have attributes and utf8_string. Writes up to --per-image records for each,
    ready for qvl pack: the question, a thought, the call, the crop that it returns, and the answer; with answer,
    task, calls_needed and evidence, for qvl agent-score.

    \b
    attribute   of an object whose label no other object has
    reading     what is written on such an object
    counting    objects of one label in a quarter of the image, none on its border

    Each is replayed before it is written: its call is parsed as an agent's is, the tool runs, the crop must
    show the object whole and 1.5 times as large as the model sees it in the image, and the verifier of the
    task must take the answer. What does not hold is counted, and goes to --rejects as unverified; an image
    without a question as no-question.

    The report makes about 10,000 such examples of two turns; which templates, it does not say.

    Examples:
        $ qvl agent-synthesize --coco annotated.json --max-area 0.1 -o cold.jsonl.zst
    """
    wanted = tuple(each.strip() for each in kinds.split(","))
    unknown = [each for each in wanted if each not in KINDS]
    if unknown:
        raise UserError(f"--kinds {unknown[0]}: expected some of {', '.join(KINDS)}")
    if coco and stream.files:
        raise UserError("--coco: the images are in it; give no FILE")
    from qvl.agent.images import ToolImages
    from qvl.agent.synthesis import annotations
    from qvl.agent.synthesis.synthesize import Synthesize
    from qvl.agent.tools.toolbox import Toolbox
    from qvl.media import patches

    root = media.root(stream.files or coco)
    folder = None if tool_images == "inline" else tool_images
    rules = patches.load_rules(Path(model)) if model else None
    with contextlib.ExitStack() as stack:
        settings = ToolSettings(names=("image_zoom_in_tool",), min_tokens=zoom_min_tokens)
        toolbox = stack.enter_context(Toolbox(settings, root, allow_remote=media.allow_remote))
        synthesize = Synthesize(
            toolbox=toolbox,
            keep=ToolImages(root, folder, rules),
            per_image=per_image,
            kinds=wanted,
            max_area=max_area,
            seed=seed,
            schemas=tool_schemas,
            thinking=thinking,
        )
        run = stack.enter_context(
            stream.run(
                "agent-synthesize",
                files=coco or stream.files,
                reader=annotations.CocoReader if coco else None,
                seed=seed,
                config={"kinds": list(wanted), "per_image": per_image, "max_area": max_area}
                | ({"coco": coco} if coco else {}),
            )
        )
        counts: Counter[str] = Counter()
        run.write(_made(run, synthesize, counts))
        run.note(**counts)


def _made(run: Any, synthesize: Any, counts: Counter[str]) -> Iterator[dict]:
    for record in run:
        try:
            made, failed = synthesize(record)
        except ValueError as error:
            run.reject(record, "no-objects", str(error))
            continue
        for one, reason in failed:
            counts["unverified"] += 1
            run.write_reject(one, "unverified", reason)
        for one in made:
            counts[one["source"].partition("/")[2]] += 1
            yield one
        if not made:
            run.reject(record, "no-question")
