from typing import Annotated

import typer

from qvl.errors import UserError

from ..options import MediaOptions, StreamOptions


def _names(incomplete: str) -> list[str]:
    from qvl.evaluate import catalog

    return [name for name in catalog.names() if name.startswith(incomplete)]


def command(
    media: MediaOptions,
    stream: StreamOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[BENCHMARK]",
            help="Name of a benchmark, or a file NAME.toml",
            autocompletion=_names,
        ),
    ] = None,
    media_dir: Annotated[
        str | None,
        typer.Option(
            "--media-dir",
            metavar="DIR",
            help="Write embedded images here; by default beside -o FILE",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the benchmarks, or describe BENCHMARK, and exit")
    ] = False,
) -> None:
    """Read your copy of a benchmark as records with questions.

    A copy is a file in a form that is around: VLMEvalKit's TSV with images in base64, the parquet of
    Hugging Face, JSON lines or an array; for odinw13 COCO's JSON, for charades-sta the text of its
    authors. Download it yourself; qvl fetches nothing. Embedded images become files in STEM-media beside -o FILE;
    paths of images and videos stay, relative to --media-root.

    Each record has the question as it is asked, the options with it, the answer, the task that names its
    verifier, source and benchmark, and the columns to group by. qvl eval answers and scores them; in
    between, any command may choose among them. Prompts are ours unless the notes (--list BENCHMARK) say
    otherwise: a published figure made with another prompt may differ by points.

    A benchmark is a small TOML file: title, paper, kind of question, verifier, metric, prompt, and the
    columns that hold the parts. Copy one (--list BENCHMARK shows its path) to make your own.

    Examples:
        $ qvl eval load --list
        $ qvl eval load --list docvqa
        $ qvl eval load docvqa docvqa.tsv -o docvqa.jsonl.zst
        $ qvl eval load docvqa docvqa.tsv | zstdcat | jq -r '.messages[0].content[1].text'
    """
    from qvl.evaluate import catalog

    if list_:
        for line in _described(name):
            print(line)
        return
    if name is None:
        raise UserError(f"no BENCHMARK; there are {', '.join(catalog.names())}")
    from qvl.evaluate.loading import Loading

    loading = Loading(
        catalog.load(name),
        output=stream.output,
        media_dir=media_dir,
        media_root=media.root(stream.files),
    )
    with stream.run(
        "eval load", config={"benchmark": name}, reader=loading.reader, conserves=True
    ) as run:
        run.write(loading.records(run))


def _described(name: str | None) -> list[str]:
    from qvl.evaluate import catalog

    if name is None:
        each = [catalog.load(name) for name in catalog.names()]
        return [f"{one.name:18} {one.title} ({one.paper})" for one in each]
    found = catalog.load(name)
    lines = [f"{found.name}: {found.title} ({found.paper})"]
    lines += [f"file: {catalog.path(name)}"]
    lines += [f"questions: {found.kind}; metric: {found.metric}"]
    lines += ["prompt:", *(f"    {line}" for line in found.prompt.strip().splitlines())]
    lines += [f"sampling: {key} {value:g}" for key, value in found.sampling.items()]
    return [*lines, *found.notes.strip().splitlines()]
