"""Run the calls of recorded episodes again, and compare what comes back with the record."""

from collections.abc import Iterator
from typing import Any

from qvl.agent.agent import users_images
from qvl.agent.tools.observation import Observation
from qvl.agent.tools.toolbox import Toolbox
from qvl.media import images, png, references
from qvl.media.errors import MediaError
from qvl.record import prompt


def differences(record: dict[str, Any], toolbox: Toolbox) -> Iterator[str]:
    """What of a record's episodes is not as it was: "response 0, turn 1, call 0: another image"."""
    context = toolbox.context(users_images(prompt(record)))
    for number, response in enumerate(record.get("responses") or ()):
        for turn, place, call, message in _answered(response):
            found = toolbox(call["name"], call["arguments"], context)
            problem = _difference(found, message, call, toolbox)
            if problem:
                yield f"response {number}, turn {turn}, call {place}: {problem}"


def num_calls(record: dict[str, Any]) -> int:
    """The calls of a record's episodes that were answered."""
    return sum(1 for each in record.get("responses") or () for _ in _answered(each))


def _answered(response: dict[str, Any]) -> Iterator[tuple[int, int, dict, dict]]:
    """(turn, its call's number, the call, the tool's message) of calls that were read and run."""
    turn, answers = 0, {}
    for message in response.get("messages") or ():
        if message["role"] == "assistant":
            turn += 1
        elif message["role"] == "tool":
            answers.setdefault(turn, []).append(message)
    places: dict[int, int] = {}
    for call in response.get("calls") or ():
        place = places.get(call["turn"], 0)
        places[call["turn"]] = place + 1
        messages = answers.get(call["turn"], [])
        is_run = place < len(messages) and not _text(messages[place]).startswith("Error: ")
        if "name" in call and is_run:
            yield call["turn"], place, call, messages[place]


def _difference(found: Observation, message: dict, call: dict, toolbox: Toolbox) -> str:
    if found.failed != call["failed"]:
        return "it failed" if found.failed else "it did not fail"
    said = "".join(each for each in found.parts if isinstance(each, str))
    # In the record marks of the template have a space more.
    if said.replace(" ", "") != _text(message).replace(" ", ""):
        return "another text"
    content = message["content"] if isinstance(message["content"], list) else []
    kept = [part["image"] for part in content if part["type"] == "image"]
    shown = [each for each in found.parts if not isinstance(each, str)]
    if len(kept) != len(shown):
        return f"{len(shown)} images, recorded were {len(kept)}"
    for reference, image in zip(kept, shown, strict=True):
        root = toolbox.pictures.root
        try:
            recorded = images.decode(references.read(reference, root), reference)
        except MediaError as error:
            return str(error)
        if recorded.size != image.size or png.encode(recorded) != png.encode(image):
            return "another image"
    return ""


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")
