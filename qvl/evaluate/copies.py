"""The community's copies of benchmarks: TSV and CSV, parquet, JSON lines, JSON arrays, COCO, Charades' text."""

import ast
import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.io import arrays, jsonl, parquet, tables

OnBad = Callable[[jsonl.BadLine], None]
_FIELDS = ("video", "start", "end", "question")
_SENTENCE = re.compile(r"(\S+)\s+([\d.]+)\s+([\d.]+)\s*##(.*)")


def reader(kind: str, paths: Sequence[str], on_bad: OnBad | None) -> Any:
    """A reader of the rows of files, by the kind of the benchmark and the first file's name and bytes."""
    if kind == "detection":
        return Coco(paths, on_bad)
    first = next(iter(paths), "-")
    if kind == "spans" and first.endswith(".txt"):
        return Sentences(paths, on_bad)
    if tables.is_table(first):
        return tables.Reader(paths, on_bad)
    if first != "-" and _starts_with(first, b"PAR1"):
        return parquet.Reader(paths, on_bad)
    return arrays.Reader(paths, on_bad)


def _starts_with(path: str, magic: bytes) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False  # which the reader reports


class Sentences(jsonl.Reader):
    """Charades-STA's lines "VIDEO START END##SENTENCE" as rows: video, start, end, question."""

    def split(self, content: Iterator[bytes], name: str) -> Iterator[bytes]:
        for number, line in enumerate(super().split(content, name), 1):
            text = line.decode("utf-8", "replace").strip()
            found = _SENTENCE.fullmatch(text)
            if text and not found:
                raise UserError(f"{name}:{number}: expected VIDEO START END##SENTENCE")
            if found:
                yield jsonl.encode(dict(zip(_FIELDS, found.groups(), strict=True)))


class Coco(arrays.Reader):
    """A row per image of COCO's JSON: its file, size, boxes by category, and the names of all categories."""

    def split(self, content: Iterator[bytes], name: str) -> Iterator[bytes]:
        try:
            data = json.loads(b"".join(content))
            categories = {each["id"]: each["name"] for each in data["categories"]}
            boxes: defaultdict[Any, list[dict]] = defaultdict(list)
            for each in data["annotations"]:
                boxes[each["image_id"]].append(
                    {"bbox": each["bbox"], "label": categories[each["category_id"]]}
                    | ({"iscrowd": 1} if each.get("iscrowd") else {})
                )
            rows = [
                {
                    "id": image["id"],
                    "image": image["file_name"],
                    "width": image["width"],
                    "height": image["height"],
                    "objects": boxes[image["id"]],
                    "categories": list(categories.values()),
                }
                for image in data["images"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{name}: not COCO's JSON: {type(error).__name__}: {error}") from None
        for row in rows:
            yield jsonl.encode(row)


def value(cell: Any) -> Any:
    """A cell as a value: a list written as text, as pandas and MMMU write them, becomes the list."""
    if not isinstance(cell, str) or cell[:1] not in "[(":
        return cell
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list | tuple):
            return list(found)
    return cell


def image(cell: Any) -> Any:
    """An image as the converters take it: {"bytes", "path"} of Hugging Face or base64; else its path."""
    if isinstance(cell, bytes):
        return {"bytes": cell}
    if isinstance(cell, str) and len(cell) > 260 and not cell.startswith(("http", "data:")):
        try:
            return {"bytes": base64.b64decode(cell, validate=True)}
        except (binascii.Error, ValueError):
            return cell
    return cell


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing: null, an empty text, pandas' nan."""
    if isinstance(cell, dict):
        return not any(cell.values())
    return cell is None or cell == "" or cell != cell or cell == "nan" or cell == []
