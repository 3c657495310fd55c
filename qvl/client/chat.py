"""Convert a record's messages to those of an OpenAI endpoint, and its choices to responses."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qvl.media import images, signatures, video
from qvl.media.errors import MediaError
from qvl.media.references import brief, read
from qvl.text import thinking as thoughts


def has_media(messages: list[dict]) -> bool:
    """Whether any part of any message is not text."""
    return any(
        part.get("type") != "text"
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def to_openai(messages: list[dict], root: Path, *, allow_remote: bool = False) -> list[dict]:
    """The messages as an endpoint accepts them, with media as data: URIs.

    MediaError if a reference is missing, leaves `root`, or is remote and not allowed.
    """
    return [
        {**message, "content": [_part(part, root, allow_remote) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def media_uris(
    messages: list[dict], root: Path, *, allow_remote: bool = False
) -> tuple[list[str], list[str]]:
    """The data: URIs of the images and of the videos, in the order of their pads; see to_openai."""
    found: dict[str, list[str]] = {"image_url": [], "video_url": []}
    for message in to_openai(messages, root, allow_remote=allow_remote):
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") in found:
                found[part["type"]].append(part[part["type"]]["url"])
    return found["image_url"], found["video_url"]


def _part(part: dict, root: Path, allow_remote: bool) -> dict:
    kind = part.get("type")
    if kind not in ("image", "video"):
        return part
    reference = part[kind]
    if kind == "video" and isinstance(reference, str):
        reference = video.frames_of_folder(reference, root) or reference
    if isinstance(reference, str):
        uri = data_uri(reference, root, allow_remote=allow_remote)
    else:
        uri = frames_uri(reference, root, allow_remote=allow_remote)
    return {"type": f"{kind}_url", f"{kind}_url": {"url": uri}}


def frames_uri(references: Sequence[str], root: Path, *, allow_remote: bool = False) -> str:
    """The frames of a video as one data: URI, as vLLM and the local engine accept them.

    The engines assume 2 frames per second; `qvl serve` configures vLLM so. If the number is odd, the last
    frame is repeated, as in video.of_images: vLLM would compute other times.
    """
    contents = [
        images.portable(read(each, root, allow_remote=allow_remote), each) for each in references
    ]
    contents += contents[-1:] * (-len(contents) % video.FRAME_FACTOR)
    return video.FRAMES_URI + ",".join(base64.b64encode(each).decode() for each in contents)


def data_uri(reference: str, root: Path, *, allow_remote: bool = False) -> str:
    """A reference as a data: URI that every engine reads alike: without white space, its type by the
    first bytes and not the name, an image as qvl.media.images.portable gives it."""
    content = read(reference, root, allow_remote=allow_remote)
    media_type = signatures.media_type(content) or ""
    if media_type.startswith("image/"):
        content = images.portable(content, reference)
        media_type = signatures.media_type(content) or ""
    if not media_type.startswith(("image/", "video/")):
        raise MediaError(f"{brief(reference)}: not an image or a video of a known type")
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def responses(answer: dict, sampling: dict[str, Any], *, thinking: bool = False) -> list[dict]:
    """The choices of an endpoint's answer, as a record's `responses`.

    The text before </think> becomes reasoning_content, whether or not the server splits it.
    thinking: for a thinking model; a truncated text without </think> is then reasoning, too.
    num_tokens is omitted if the server returns only the sum over several choices.
    """
    choices = answer["choices"]
    usage = (answer.get("usage") or {}) if len(choices) == 1 else {}
    return [_response(choice, answer, usage, sampling, thinking) for choice in choices]


def _response(
    choice: dict, answer: dict, usage: dict, sampling: dict[str, Any], thinking: bool
) -> dict:
    message = choice["message"]
    reasoning, content = message.get("reasoning_content"), message.get("content") or ""
    if not reasoning:
        cut = thinking and choice.get("finish_reason") == "length"
        reasoning, content = thoughts.split(content, truncated=cut)
    response: dict[str, Any] = {"content": content}
    if reasoning:
        response["reasoning_content"] = reasoning
    if message.get("tool_calls"):
        response["tool_calls"] = message["tool_calls"]
    response["finish_reason"] = choice.get("finish_reason")
    if "completion_tokens" in usage:
        response["num_tokens"] = usage["completion_tokens"]
    response["model"] = answer.get("model")
    response["sampling"] = sampling
    return response
