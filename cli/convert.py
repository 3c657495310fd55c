from typing import Annotated

import typer

from qvl.errors import UserError

from .options import MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: StreamOptions,
    source: Annotated[
        str, typer.Option("--from", metavar="FORMAT", help="Format of the FILEs, or auto")
    ] = "qvl",
    target: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Format to write")] = "qvl",
    lossy: Annotated[
        bool,
        typer.Option("--lossy", help="Drop values that the format cannot hold, and count them"),
    ] = False,
    think_tags: Annotated[
        bool,
        typer.Option(
            "--think-tags",
            help="Keep reasoning as <think> in texts where the format has no field for it",
        ),
    ] = False,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Set the task of records without one")
    ] = None,
    source_name: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Set the source of records without one"),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Set the answer of records without one: the value of this field of the row, or "
            "final for the text of the last assistant turn",
        ),
    ] = None,
    media_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write embedded media here; by default beside -o FILE"),
    ] = None,
) -> None:
    """Convert between records and the formats of other projects.

    Formats:
      qvl            records
      openai         OpenAI chat completions
      ms-swift       ms-swift: messages, images
      llama-factory  LLaMA-Factory: ShareGPT
      llava          LLaVA, and the fine-tuning code of Qwen
      trl            TRL: messages
      trl-prompt     TRL: prompt, completion
      verl           verl: parquet for reinforcement learning
      hf-parquet     Hugging Face parquet, with the images inside

    JSON is read as lines or as one array, plain or zstd; a .tsv or .csv file as rows of hf-parquet, whose
    images are paths. llama-factory and llava are written as one plain
    array, verl and hf-parquet as a parquet file, the others as a stream.

    --from auto detects the format by the first row; a row that looks like another format than the one
    given is an error that names it. Boxes of ms-swift's objects are filled in, in thousandths of
    their image.

    Fields that a format does not know pass through. A value that it cannot hold stops the command with
    an error that names the value; with --lossy it is dropped and counted, with --on-error reject the
    record is rejected. A placeholder without its medium, or a medium without its placeholder, is an
    error of that row. Media inside parquet are written to STEM-media beside -o FILE, named by their
    content; media for parquet are read from below --media-root. A row without an id gets FILE-000001 and
    so on. JSON arrays carry no lineage.

    Examples:
        $ qvl convert --to openai records.jsonl.zst | zstdcat | head -1
        $ qvl select 'task == "ocr"' records.jsonl.zst | qvl convert --to llava -o llava.json
        $ qvl convert --from llava llava-sample.json -o back.jsonl.zst
        $ qvl convert --from auto --task vqa --answer final llava-sample.json -o tasks.jsonl.zst
        $ qvl convert --to ms-swift --think-tags records.jsonl.zst -o swift.jsonl.zst
    """
    from qvl.formats.convert import Conversion, media_place

    if source == target == "qvl":
        raise UserError("give --from FORMAT or --to FORMAT; to copy records, use qvl cat")
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
        answer=answer,
        fields={
            name: value
            for name, value in (("task", task), ("source", source_name))
            if value is not None
        },
    )
    with stream.run(
        "convert",
        config={"from": source, "to": target},
        reader=conversion.reader,
        writer=conversion.writer(stream.plain),
        conserves=True,
    ) as run:
        run.write(conversion.rows(run))
