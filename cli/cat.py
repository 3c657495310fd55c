from .options import StreamOptions


def command(
    stream: StreamOptions,
) -> None:
    """Copy records, from any mix of plain and zstd files, to one whole stream.

    Every line is read as JSON and written anew, so what leaves is well formed, compressed and
    checksummed, and a cut or corrupt input is an error that names the record.

    \b
    Examples:
        $ qvl cat records.jsonl.zst | zstdcat | head -1
        $ cat records.jsonl.zst records.jsonl.zst | qvl cat --shard 1/2 -o half.jsonl.zst
        $ qvl cat --on-error reject --rejects bad.jsonl.zst records.jsonl.zst -o good.jsonl.zst
    """
    with stream.run(
        "cat",
        conserves=True,
    ) as run:
        run.write(run)
