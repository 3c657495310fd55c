from qvl.io import salvage

from .options import Files, Output, Plain, Rejects, Report
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    rejects: Rejects = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Save the whole records of a stream that is cut or corrupt.

    Writes every record up to the damage, and from the next zstd frame on where the stream has
    several. A record of which only a part is left is dropped and counted, and --rejects says where;
    nothing is guessed.

    \b
    Examples:
        $ cat records.jsonl.zst records.jsonl.zst | head -c 1300 | qvl recover | zstdcat
    """
    with session("recover", None, output, rejects=rejects, plain=plain, report=report) as run:
        for path in files or ["-"]:
            for record in salvage.records(path, lambda *damage: run.reject({}, *damage)):
                run.read += 1
                run.put(record)
