"""The tests of LiveCodeBench's copies, as the answer of the `code` verifier (arXiv 2403.07974).

A test has an input, an output and a type: stdin, or functional, whose input has an argument per line as JSON.
Hidden tests are JSON, or JSON in a pickle in zlib in base64; such a pickle is read only if it holds a text.
"""

import base64
import binascii
import io
import json
import pickle
import zlib
from typing import Any

from qvl.evaluate.copies import value

MAX_BYTES = 1 << 28  # of the hidden tests of a problem, unpacked: our choice


class _TextOnly(pickle.Unpickler):
    """Unpickles plain data: a pickle that names a class or a function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"the hidden tests are a pickle that names {module}.{name}")


def answer(row: dict) -> dict:
    """{"tests": ..., "function": ...} of a row. ValueError, with a reason, if it has none."""
    tests = [*_cases(row.get("public_test_cases")), *_hidden(row.get("private_test_cases"))]
    if not tests:
        raise ValueError("no public_test_cases or private_test_cases")
    kinds = {each.get("testtype", "stdin") for each in tests}
    if kinds == {"stdin"}:
        return {"tests": [{"stdin": one["input"], "stdout": one["output"]} for one in tests]}
    metadata = value(row.get("metadata"))
    if isinstance(metadata, str):
        metadata = json.loads(metadata)
    function = (metadata or {}).get("func_name")
    if kinds != {"functional"} or not function:
        raise ValueError(f"test types {', '.join(sorted(kinds))} without a function's name")
    called = [
        {
            "arguments": [json.loads(line) for line in one["input"].split("\n") if line.strip()],
            "result": json.loads(one["output"]),
        }
        for one in tests
    ]
    return {"tests": called, "function": function}


def _cases(cell: Any) -> list[dict]:
    found = json.loads(cell) if isinstance(cell, str) and cell else cell or []
    if not isinstance(found, list) or not all(
        isinstance(each, dict) and isinstance(each.get("input"), str) and "output" in each
        for each in found
    ):
        raise ValueError("test cases: expected a list of input, output and testtype")
    return found


def _hidden(cell: Any) -> list[dict]:
    if not isinstance(cell, str) or cell[:1] in ("[", ""):
        return _cases(cell)
    try:
        packed = zlib.decompressobj()
        content = packed.decompress(base64.b64decode(cell, validate=True), MAX_BYTES)
        if packed.unconsumed_tail:
            raise ValueError(f"the hidden tests are larger than {MAX_BYTES >> 20} MiB")
        text = _TextOnly(io.BytesIO(content)).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, IndexError) as error:
        raise ValueError(f"the hidden tests cannot be unpacked: {error}") from None
    return _cases(text)
