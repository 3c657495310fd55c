"""The page as one file: some records of each stream, with their images, and no server."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.io import atomic
from qvl.media.errors import MediaError
from qvl.streams.expression import option
from qvl.view import bundle, pictures
from qvl.view.rows import responses_of, row
from qvl.view.viewer import Viewer

TOKENS = 2000  # of a response or a packed record; app's tokens.js asks for as many
FIGURES = {".svg": "image/svg+xml", ".png": "image/png"}
MAX_SIZE = 400 << 20  # bytes of a file that browsers still open


class Written(NamedTuple):
    records: int
    size: int


def write(
    viewer: Viewer,
    path: Path,
    *,
    where: str = "",
    most: int = 100,
    about: Sequence[Path] = (),
) -> Written:
    """Write the first `most` records of each stream that pass `where`. UserError for a bad stream.

    The first, not the best. An image that cannot be read is shown as that. about: texts and figures of a
    cover, see `cover`.
    """
    condition = option("--where", where) if where else None
    data: dict[str, Any] = {
        "about": cover(about),
        "streams": [],
        **{kind: {} for kind in ("images", "frames", "segments", "packs", "tokens")},
    }
    size = 0
    for place, stream in enumerate(viewer.streams):
        stream.read()
        if stream.error:
            raise UserError(stream.error)
        numbers = [
            number
            for number in range(len(stream))
            if condition is None or condition(stream[number])
        ][:most]
        for number in numbers:
            size += _add(viewer, data, place, number)
            if size > MAX_SIZE:
                raise UserError(
                    f"{path}: over {MAX_SIZE >> 20} MiB with record {number}; export fewer: "
                    "--num-records, --where"
                )
        state = {**viewer.state()["streams"][place], "count": len(numbers), "of": len(stream)}
        if len(numbers) == len(stream):
            del state["of"]
        data["streams"].append(
            {
                "state": state,
                "rows": [row(stream[number], number) for number in numbers],
                "records": [viewer.record(place, number) for number in numbers],
            }
        )
    title = ", ".join(stream.name for stream in viewer.streams)
    content = bundle.one_file(f"{title} \u2013 qvl view", orjson.dumps(data).decode()).encode()
    try:
        atomic.write(path, content)
    except OSError as error:
        raise UserError(f"--export {path}: {error.strerror}") from None
    return Written(sum(len(each["rows"]) for each in data["streams"]), len(content))


def cover(paths: Sequence[Path]) -> list[dict[str, str]]:
    """The parts of a cover, named after their files: .svg and .png are figures, others texts."""
    return [_part(path) for path in paths]


def _part(path: Path) -> dict[str, str]:
    name = path.stem.replace("-", " ")
    try:
        if kind := FIGURES.get(path.suffix.lower()):
            content = base64.b64encode(path.read_bytes()).decode()
            return {"name": name, "uri": f"data:{kind};base64,{content}"}
        return {"name": name, "text": path.read_text(encoding="utf-8")}
    except OSError as error:
        raise UserError(f"--about {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"--about {path}: expected UTF-8 text, .svg or .png") from None


def _add(viewer: Viewer, data: dict[str, Any], stream: int, number: int) -> int:
    """Add what belongs to a record: images, frames, tokens. Returns the bytes of its media."""
    shown = viewer.record(stream, number)
    size = 0
    for medium, each in enumerate(shown["media"]):
        key = f"{stream}/{number}/{medium}"
        try:
            if each["kind"] == "image":
                content, kind = viewer.image(stream, number, medium, large=False)
                data["images"][key] = {"uri": pictures.data_uri(content, kind)}
                size += len(data["images"][key]["uri"])
            else:
                data["frames"][key] = found = viewer.frames(stream, number, medium)
                size += sum(map(len, found["frames"]))
        except MediaError as error:
            data["images" if each["kind"] == "image" else "frames"][key] = {"error": str(error)}
    if "pack" in shown:
        found = viewer.segments(stream, number)
        data["segments"][f"{stream}/{number}"] = found
        for segment in found["segments"]:
            for start in range(0, segment["tokens"], TOKENS):
                at, count = segment["start"] + start, min(TOKENS, segment["tokens"] - start)
                answer = viewer.pack_tokens(stream, number, at, count)
                data["packs"][f"{stream}/{number}/{at}"] = answer
    record = viewer.streams[stream][number]
    for place, response in enumerate(responses_of(record)):
        ids = response.get("token_ids")
        for start in range(0, len(ids) if isinstance(ids, list) else 0, TOKENS):
            answer = viewer.response_tokens(stream, number, place, start, TOKENS)
            data["tokens"][f"{stream}/{number}/{place}/{start}"] = answer
    return size
