import shlex
import sys
from typing import Annotated

import orjson
import typer

from qvl.errors import UserError
from qvl.io import inputs, jsonl, lineage

from .options import Files


def command(
    files: Files = None,
    json: Annotated[bool, typer.Option("--json", help="Print the entries as JSON lines")] = False,
) -> None:
    """Print where a stream came from: every stage, its counts and its command line.

    Reads the stream to its end, where the lineage is. Prints one line per stage, the newest first, with
    its inputs indented below it.

    Examples:
        $ qvl cat records.jsonl.zst | qvl lineage
        $ qvl cat records.jsonl.zst | qvl lineage --json | head -1
    """
    reader = jsonl.read(files or "-")
    for _ in reader:
        pass
    if not reader.lineage:
        raise UserError(f"{', '.join(map(inputs.display_name, reader.paths))}: no lineage found")
    for depth, entry in lineage.flatten(reader.lineage):
        if json:
            line = orjson.dumps({"depth": depth, **entry}, option=orjson.OPT_APPEND_NEWLINE)
        else:
            line = ("  " * depth + _line(entry) + "\n").encode()
        sys.stdout.buffer.write(line)
    sys.stdout.flush()


def _line(entry: dict) -> str:
    counts = f"{entry['read']:,} -> {entry['kept']:,}"
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in entry["rejected"].items())
    facts = f"  [{reasons}]" if reasons else ""
    return f"{counts}{facts}  qvl {shlex.join(entry['argv'])}  ({entry['version']})"
