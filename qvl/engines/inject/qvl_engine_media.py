"""The images and videos of a request to vLLM or SGLang, by the rules of the local engine.

vLLM fetches addresses of the machine that it runs on, SGLang also opens any file. Here a reference is
read by qvl.media, below --media-root or not at all, and the engine gets its content as a data: URI: an
image upright and on white, as every command of qvl sees it.
"""

import base64
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

QVL = Path(__file__).resolve().parent.parent.parent
MEDIA = {  # fields that engines read media from, as text or as a list of texts
    *(
        f"{kind}{ending}"
        for kind in ("image", "video", "audio")
        for ending in ("", "_url", "_data")
    ),
    "url",
}
NOT_MEDIA = {  # fields in which anything may have such a name
    *("tools", "tool_calls", "functions", "function_call", "arguments"),
    *("response_format", "structured_outputs", "metadata"),
}
MOVING = ("data:video/", "data:audio/")
WORDS = (b"image", b"video", b"audio", b"url", b"\\u")  # without one of them there are no media


def screened(body: bytes, root: Path | None) -> bytes:
    """The body of a request with its media as data: URIs. ValueError, with the reason, if it is not
    JSON, or one of them must not or cannot be read."""
    if not any(word in body for word in WORDS):
        return body
    try:
        parsed = json.loads(body)
        return json.dumps(_screened(parsed, "", root), ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except UnicodeError as error:
        raise ValueError(f"the body is not UTF-8: {error}") from None


def qvl_module(name: str) -> Any:
    """A module of the qvl that started this engine, without the rest of its environment."""
    if "qvl" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "qvl", QVL / "__init__.py", submodule_search_locations=[str(QVL)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["qvl"] = module
        spec.loader.exec_module(module)
    return importlib.import_module(name)


def _screened(value: Any, field: str, root: Path | None) -> Any:
    """A JSON value with the media in it replaced; field: its name, or that of the list that holds it."""
    if isinstance(value, dict):
        return {
            name: each if name in NOT_MEDIA else _screened(each, _field(name, field), root)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_screened(each, field, root) for each in value]
    if isinstance(value, str) and field in MEDIA:
        return _content(value, field, root)
    return value


def _field(name: str, outer: str) -> str:
    """{"video_url": {"url": ...}} is a video."""
    return outer if name == "url" and outer in MEDIA else name


def _content(reference: str, field: str, root: Path | None) -> str:
    """A reference as a data: URI. ValueError if it must not or cannot be read."""
    references = qvl_module("qvl.media.references")
    kind = "video" if field.startswith("video") else "image"
    # A route for tokens has "url" alone, of either kind.
    is_moving = field.startswith(("video", "audio")) or reference.startswith(MOVING)
    if references.is_data(reference) and is_moving:
        return reference
    try:
        content = None if references.is_data(reference) else _bare_base64(reference, field)
        if content is None:
            if root is None and not references.is_data(reference):
                raise ValueError(
                    f"{kind} {references.brief(reference)}: expected a data: URI; "
                    "files need qvl serve --media-root"
                )
            content = references.read(reference, root or Path(), kind=kind)
        if kind == "image":
            content = qvl_module("qvl.media.images").portable(content, reference)
    except qvl_module("qvl.media.errors").MediaError as error:
        raise ValueError(str(error)) from None
    found = qvl_module("qvl.media.signatures").media_type(content) or f"{kind}/unknown"
    return f"data:{found};base64,{base64.b64encode(content).decode()}"


def _bare_base64(text: str, field: str) -> bytes | None:
    """The content of SGLang's image_data without the head of a data: URI; None for anything else."""
    if not field.endswith("_data"):
        return None
    try:
        content = qvl_module("qvl.media.references").decoded_base64(text)
    except ValueError:
        return None
    known = qvl_module("qvl.media.signatures").media_type(content)
    return content if known else None
