"""The formats of neighbouring projects: one file each, to a record and back.

A format's module holds `CONTAINER` (jsonl, json or parquet: what it is written to), and

    to_record(row, trade) -> record      a row of the format as a record
    to_row(record, trade) -> row         a record as a row of the format

and one of parquet also `schema` and `fit`, see qvl.io.parquet. Fields that a function does not know
go through unchanged under their own name, so what a row holds besides is still there on the way
back. What a format cannot hold, `trade.lose` names. A content may come back in another spelling that
Qwen3-VL's template renders alike: a string, one text part or several in a row; none beside a call.
"""

from importlib import import_module
from types import ModuleType

from qvl.errors import UserError

FORMATS = {  # name -> module; imported when it is asked for
    "qvl": "qvl.formats.native",
    "openai": "qvl.formats.openai",
    "ms-swift": "qvl.formats.ms_swift",
    "llama-factory": "qvl.formats.llama_factory",
    "llava": "qvl.formats.llava",
    "trl": "qvl.formats.trl",
    "trl-prompt": "qvl.formats.trl_prompt",
    "verl": "qvl.formats.verl",
    "hf-parquet": "qvl.formats.hf_parquet",
}


def get(name: str) -> ModuleType:
    """The module of a format; UserError names them all."""
    if name not in FORMATS:
        raise UserError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return import_module(FORMATS[name])
