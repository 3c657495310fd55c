from .options import StreamOptions


def command(
    stream: StreamOptions,
) -> None:
    """Copy records from plain and zstd files into one complete stream.

    Every line is parsed as JSON and written anew, so the output is well formed, compressed and
    checksummed. A truncated or corrupted input is an error that names the record.

    Examples:
        $ qvl cat records.jsonl.zst | zstdcat | head -1
        $ cat records.jsonl.zst records.jsonl.zst | qvl cat --shard 1/2 -o half.jsonl.zst
        $ qvl cat --on-error reject --rejects bad.jsonl.zst records.jsonl.zst -o good.jsonl.zst
    """
    with stream.run(
        "cat",
        conserves=True,
    ) as run:
        run.write(run.as_read())
