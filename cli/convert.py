from typing import Annotated

import typer

from qvl.errors import UserError

from .options import MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: StreamOptions,
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
) -> None:
    """Convert between records and the formats of neighbouring projects.

    FORMAT is qvl; openai (chat completions); ms-swift (messages, images); llama-factory (ShareGPT);
    llava (LLaVA, Qwen's fine-tuning); trl (messages) and trl-prompt (prompt, completion); verl
    (parquet for reinforcement); hf-parquet (Hugging Face, images inside). JSON is read as lines or
    as one array, plain or zstd. openai, ms-swift, trl and trl-prompt are written as a stream,
    llama-factory and llava as one plain array, verl and hf-parquet as a parquet file.

    Fields that a format does not know go through. What it cannot hold stops the command with one
    line that names it; with --lossy it is dropped and counted, with --on-error reject the record is
    put aside; --think-tags keeps reasoning. A placeholder without its medium, or a medium without
    its placeholder, is an error of that row. Media inside parquet become files in STEM-media beside
    -o FILE, named by their content; media that go into parquet are read from below --media-root. A
    row without an id gets FILE-000001 and so on. JSON arrays carry no lineage.

    \b
    Examples:
        $ qvl convert --to openai records.jsonl.zst | zstdcat | head -1
        $ qvl select 'task == "ocr"' records.jsonl.zst | qvl convert --to llava -o llava.json
        $ qvl convert --from llava llava-sample.json -o back.jsonl.zst
        $ qvl convert --to ms-swift --think-tags records.jsonl.zst -o swift.jsonl.zst
    """
    from qvl.formats.convert import Conversion, media_place

    if source == target == "qvl":
        raise UserError("say --from FORMAT or --to FORMAT; 'qvl cat' copies records")
    place, name = media_place(stream.output, media_dir)
    conversion = Conversion(
        source,
        target,
        media_dir=place,
        media_name=name,
        media_root=media.root(stream.files),
        allow_remote=media.allow_remote,
        lossy=lossy,
        think_tags=think_tags,
    )
    with stream.run(
        "convert",
        config={"from": source, "to": target},
        reader=conversion.reader,
        writer=conversion.writer(stream.plain),
        conserves=True,
    ) as run:
        run.write(conversion.rows(run))
