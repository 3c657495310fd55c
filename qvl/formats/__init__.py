"""The formats of other projects, a module each, which convert to a record and back.

A module has `CONTAINER` (jsonl, json or parquet: the kind of its files), and

    to_record(row, context) -> record    a row of the format as a record
    to_row(record, context) -> row       a record as a row of the format

and for parquet also `schema` and `fit`, see qvl.io.parquet. Fields that a function does not know are
copied unchanged under the same name, so they survive both directions. `context.unsupported` names
what a format cannot hold. A content may return in another form that Qwen3-VL's template renders
alike: a string, one text part or several in a row; null beside a tool call.
"""

from importlib import import_module
from types import ModuleType

from qvl.errors import UserError

FORMATS = {  # name -> module, imported on use
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
    """The module of a format. UserError if there is none of this name."""
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}; the formats are {', '.join(FORMATS)}")
    return import_module(FORMATS[name])
