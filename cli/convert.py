from pathlib import Path
from typing import Annotated

import typer

from .options import Files, MediaRoot, OnError, Output, Plain, Rejects, Report, Shard
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    source: Annotated[
        str, typer.Option("--from", metavar="FORMAT", help="What FILEs hold")
    ] = "qvl",
    target: Annotated[str, typer.Option("--to", metavar="FORMAT", help="What to write")] = "qvl",
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Drop what the format cannot hold, and count it")
    ] = False,
    think_tags: Annotated[
        bool,
        typer.Option("--think-tags", help="Reasoning is <think> in texts, where there is no field"),
    ] = False,
    media_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Embedded media go here; by default beside -o FILE"),
    ] = None,
    media_root: MediaRoot = None,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Convert between records and the formats of neighbouring projects.

    FORMAT is qvl; openai (chat completions); ms-swift (messages, images); llama-factory (ShareGPT);
    llava (LLaVA, Qwen's fine-tuning); trl (messages) and trl-prompt (prompt, completion); verl
    (parquet for reinforcement); hf-parquet (Hugging Face, images inside). JSON is read as lines or
    as one array, plain or zstd. openai, ms-swift, trl and trl-prompt are written as a stream,
    llama-factory and llava as one plain array, verl and hf-parquet as a parquet file.

    Fields that a format does not know go through. What it cannot hold stops the command with one
    line that names it; see --lossy, --think-tags and --on-error. Media inside parquet are written
    to FILE-media beside -o FILE, and read from below --media-root. Rows without an id get one.

    \b
    Examples:
        $ qvl convert --to openai records.jsonl.zst | zstdcat | head -1
        $ qvl select 'task == "ocr"' records.jsonl.zst | qvl convert --to llava -o llava.json
        $ qvl convert --from llava llava-sample.json -o back.jsonl.zst
        $ qvl convert --to ms-swift --think-tags records.jsonl.zst -o swift.jsonl.zst
    """
    from qvl import formats
    from qvl.formats.convert import Conversion
    from qvl.io.images import root_of

    conversion = Conversion(
        formats.get(source),
        formats.get(target),
        names=(source, target),
        media_root=root_of(files, media_root),
        media_dir=Path(media_dir) if media_dir else beside(output),
        lossy=lossy,
        think_tags=think_tags,
        stem=Path(files[0]).name.partition(".")[0] if files and files[0] != "-" else "row",
    )
    with session(
        "convert",
        files,
        output,
        rejects=rejects,
        on_error=on_error,
        shard=shard,
        plain=plain,
        report=report,
        config={"from": source, "to": target},
        reader=conversion.reader,
        writer=conversion.writer(plain),
        conserves=True,
    ) as run:
        run.write(conversion.rows(run))


def beside(output: str) -> Path | None:
    if output == "-":
        return None
    return Path(output).with_name(Path(output).name.partition(".")[0] + "-media")
