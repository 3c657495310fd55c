import contextlib
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.pack.render import Renderer
from qvl.parity import compare, records
from qvl.parity.huggingface import HuggingFace
from qvl.parity.megatron import Megatron

from .groups import without
from .options import Layout, MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: Annotated[StreamOptions, without("shard")],
    model: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder of the model")],
    layout: Layout = "",
    against: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder that Megatron loads instead of the same one"),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Compare with this engine instead of Megatron"),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="X", help="Maximum difference, in nats (our choice)")
    ] = compare.TOLERANCE,
) -> None:
    """Compare log-probabilities of records in transformers with Megatron or an engine.

    Compares every token but the first, of all roles, in fp32: first the token ids, then their
    log-probabilities. transformers renders, tokenizes and preprocesses images with its own code (videos
    with qvl's, as its own needs torchvision); Megatron gets the record from qvl pack, shared among the
    processes of --layout. Writes the records with scores["parity"]: number of tokens, largest and mean
    difference of text, of text after an image, of special tokens, and of tool calls and answers. The
    status is 3 if the ids differ or a difference exceeds --tolerance; the summary names the first.

    With --endpoint, the other side is a running qvl serve, vLLM or SGLang: first the ids that it makes of
    a chat up to the last answer, and the token that it predicts next, then the log-probabilities of all
    tokens but those of images and videos. This finds a template, a processor, a rope, a tensor or a
    choice of frames that is not DIR's, and old weights or caches after an update.

    Examples:
        $ qvl parity twin test.jsonl.zst | zstdcat
        $ qvl parity twin --layout tp=2 test.jsonl.zst -o compared.jsonl.zst
        $ qvl serve twin --port 0 -- qvl parity twin --endpoint {endpoint} test.jsonl.zst -o same.jsonl.zst
    """
    other = against or model
    if endpoint and (layout or against):
        raise UserError("--endpoint: --layout and --against are for Megatron only")
    shape, wanted = load_shape(Path(other)), parse_layout(layout)
    wanted.check(shape, wanted.fewest_ranks)
    if tolerance < 0:
        raise UserError(f"--tolerance {tolerance}: expected 0 or more")
    root = media.root(stream.files)
    totals = compare.Differences(tolerance)
    with contextlib.ExitStack() as stack:
        engine = None
        if endpoint:
            from qvl.parity.engine import RunningEngine

            engine = stack.enter_context(
                RunningEngine(endpoint, Path(model), root, allow_remote=media.allow_remote)
            )
        run = stack.enter_context(
            stream.run(
                "parity",
                config={"model": model, "against": endpoint or other}
                | {"layout": layout, "tolerance": tolerance},
                sound=True,
                conserves=True,
            )
        )
        theirs = HuggingFace(Path(model), root, allow_remote=media.allow_remote)
        if engine:
            run.write(records.compared_with_engine(run, theirs, engine, totals))
        else:
            ours = Megatron(
                model=other, layout=layout, media_root=str(root), allow_remote=media.allow_remote
            )
            render = Renderer(Path(other), media_root=root, allow_remote=media.allow_remote)
            run.write(records.compared(run, theirs, ours, render, totals))
        run.note(**totals.facts())
    totals.check()
