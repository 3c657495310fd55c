import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError, need

from .groups import group
from .options import MediaOptions


@group
class EachMediaOptions(MediaOptions):
    """Where images and videos come from: each FILE is a stream with a folder of its own."""

    media_root: Annotated[
        str | None,
        typer.Option(
            "--media-root",
            metavar="DIR",
            help="Base folder of media paths; by default that of each FILE itself or, in the rollouts of "
            "a run, that of its queries",
        ),
    ] = None


def command(
    media: EachMediaOptions,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="JSONL files, plain or zstd, gzip, bzip2, each a stream of its own; - or none is "
            "standard input",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoint whose tokenizer shows token ids as text; by default that of the run that "
            "wrote a file of rollouts",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 picks a free one")
    ] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page to this file instead of serving it"),
    ] = None,
    about: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Begin the exported page with this text, .svg or .png; repeatable",
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION", help="Export only the records that match, see qvl select"
        ),
    ] = "",
    num_records: Annotated[
        int,
        typer.Option(
            "--num-records", metavar="N", min=1, help="Records of each FILE to export (our choice)"
        ),
    ] = 100,
) -> None:
    """Show streams in a browser: conversations, images, responses, packs.

    The page lists the records of a stream, filters them by expressions of qvl select, searches all
    texts, and shows two streams side by side, paired by id. Press "?" there for its keys. A stream may
    have any size: it is copied once, compressed, to $TMPDIR, and a record is read from there when you
    open it. Media paths are relative to --media-root; by default to the folder of their own FILE or, in
    the rollouts of a run, to that of the run's queries.

    The page of a record shows its images with boxes and points, frames of videos, thinking, tool calls,
    rewards, verdicts, scores, and why it was rejected. The responses of a group stand side by side, with
    tokens coloured by advantage or log-probability. A packed line shows the loss weight of each token.
    The browser neither runs nor fetches anything that a record holds.

    The address that is printed contains a secret and works on this machine only; from another machine,
    forward the port with ssh -L. Ctrl-C stops the server. --export writes one HTML file with the images
    in it, which needs neither server nor network. With --about it begins with a cover, such as the table
    of an evaluation and the curves of qvl plot.

    Examples:
        $ qvl view --export page.html records.jsonl.zst
        $ qvl select 'task == "ocr"' records.jsonl.zst | qvl view --export page.html
        $ qvl plot log.jsonl -o curves.svg && qvl view --export report.html --about curves.svg records.jsonl.zst
        $ qvl view --export both.html --num-records 20 records.jsonl.zst sampled.jsonl.zst
    """
    from qvl.view.stream import Stream
    from qvl.view.viewer import Viewer

    paths = list(files or ["-"])
    if where and export is None:
        raise UserError("--where is for --export; the page has a field for a filter")
    if about and export is None:
        raise UserError("--about is for --export")
    for path in paths:
        if path != "-" and not Path(path).is_file():
            raise UserError(f"{path}: no such file")
    streams = [Stream(path, _root(path, media.media_root)) for path in paths]
    viewer = Viewer(streams, model=model, allow_remote=media.allow_remote)
    if export is not None:
        from qvl.view.export import write

        done = write(viewer, export, where=where, most=num_records, about=about or [])
        print(f"qvl view: {export}: {done.records:,} records, {done.size:,} bytes", file=sys.stderr)
        return
    need("aiohttp", extra="view")
    from qvl.view.server import serve

    def ready(url: str) -> None:
        print(f"qvl view: {url}", flush=True)
        print("qvl view: Ctrl-C stops", file=sys.stderr)
        if open_browser:
            webbrowser.open(url)

    serve(viewer, port, ready)


def _root(path: str, given: str | None) -> Path:
    from qvl.media.references import root_of
    from qvl.view.runs import media_root_of

    of_run = media_root_of(path) if given is None else None
    return of_run or root_of([path], given)
