from qvl.io import salvage

from .options import Files, Output, Plain, Report
from .session import session


def command(
    files: Files = None, output: Output = "-", plain: Plain = False, report: Report = None
) -> None:
    """Save the whole records of a stream that is cut or corrupt.

    Writes every record up to the damage, and from the next zstd frame on where the stream has
    several. A record of which only a part is left is dropped and counted; nothing is guessed.

    \b
    Examples:
        $ head -c 300 records.jsonl.zst | qvl recover | zstdcat
    """
    with session("recover", None, output, plain=plain, report=report) as run:
        for path in files or ["-"]:
            run.write(salvage.records(path, run))
