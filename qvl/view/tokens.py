"""The texts of tokens: of packed lines with their loss weights, and of responses with what was said of
each token."""

import bisect
import threading
from codecs import getincrementaldecoder
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from qvl.pack.template import load_tokenizer
from qvl.pack.token_classes import special_tokens
from qvl.view.rows import is_number

MOST = 4096  # tokens of an answer: each is an element of the page
PADS = ("<|image_pad|>", "<|video_pad|>")
COLUMNS = {
    "logprob": "logprobs",
    "trainer": "trainer_logprobs",
}  # shown name -> field of a response


class Texts:
    """Token texts with a checkpoint's tokenizer."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self._lock = threading.Lock()

    def check(self) -> None:
        """UserError where the folder has no tokenizer."""
        with self._lock:
            self._tokenizer  # noqa: B018 - loads it

    def __call__(self, ids: Sequence[int]) -> list[str]:
        """A text per token. A character that spans tokens is that of the last of them."""
        with self._lock:
            tokenizer, special = self._tokenizer, self._special
        decoder = getincrementaldecoder("utf-8")("replace")
        found = []
        for number in ids:
            if type(number) is not int:
                found.append(str(number))
                continue
            if number in special:
                found.append(decoder.decode(b"", True) + special[number])
                decoder.reset()
                continue
            token = tokenizer.id_to_token(number) if 0 <= number < 1 << 32 else None
            if token is None:
                found.append(f"<{number}>")
            else:
                found.append(decoder.decode(bytes(BYTES.get(letter, 63) for letter in token)))
        if found and (rest := decoder.decode(b"", True)):
            found[-1] += rest
        return found

    @cached_property
    def pads(self) -> set[int]:
        """The ids that stand for pieces of images and videos."""
        with self._lock:
            return {number for number, name in self._special.items() if name in PADS}

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.model)

    @cached_property
    def _special(self) -> dict[int, str]:
        return special_tokens(self._tokenizer)


def byte_letters() -> dict[str, int]:
    """The byte of each letter in a byte-level tokenizer's tokens, as GPT-2 assigned them: printable
    bytes stand for themselves, the others for the letters from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


BYTES = byte_letters()


def segments(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a packed line: id, where each starts, its tokens and its target tokens."""
    found, start = [], 0
    names = line.get("records")
    names = names if isinstance(names, list) else []
    for place, length in enumerate(line["lengths"]):
        end = start + length
        targets = sum(
            max(0, min(stop, end) - max(first, start)) for first, stop, _ in line["loss_weights"]
        )
        name = names[place] if place < len(names) else f"record {place + 1}"
        found.append({"id": str(name), "start": start, "tokens": length, "targets": targets})
        start = end
    return found


def of_pack(line: dict[str, Any], start: int, count: int, texts: Texts | None) -> dict[str, Any]:
    """`count` tokens of a packed line from `start` on: ids, texts, loss weights and columns.

    A weight is null off the targets; a column, too. Without a tokenizer there are no texts.
    """
    ids = line["input_ids"][start : start + min(count, MOST)]
    spans = sorted(line["loss_weights"])
    starts = [span[0] for span in spans]
    before = [0]  # target tokens before each span: the places of the columns
    for first, stop, _ in spans:
        before.append(before[-1] + stop - first)
    given = line.get("columns")
    columns = {
        name: values
        for name, values in (given.items() if isinstance(given, dict) else ())
        if isinstance(values, list) and values and is_number(values[0])
    }
    weights: list[float | None] = []
    found: dict[str, list[Any]] = {name: [] for name in columns}
    for place in range(start, start + len(ids)):
        at = bisect.bisect_right(starts, place) - 1
        is_target = at >= 0 and place < spans[at][1]
        weights.append(spans[at][2] if is_target else None)
        for name, values in columns.items():
            number = before[at] + place - spans[at][0] if is_target else -1
            found[name].append(values[number] if 0 <= number < len(values) else None)
    return {
        "ids": ids,
        "texts": texts(ids) if texts else None,
        "pads": [isinstance(number, int) and number in texts.pads for number in ids]
        if texts
        else None,
        "weights": weights,
        "columns": found,
    }


def of_response(
    response: dict[str, Any], start: int, count: int, texts: Texts | None
) -> dict[str, Any]:
    """`count` tokens of a response from `start` on, with what is known of each: `advantage`, the
    engine's `logprob`, the `trainer`'s, and the `gap` between these two.

    Values are null where an agent read a token, as of an image, instead of sampling it.
    """
    every = response.get("token_ids")
    every = every if isinstance(every, list) else []
    ids = every[start : start + min(count, MOST)]
    drawn = _drawn(response.get("sampled"), len(every))
    places = drawn[start : start + len(ids)]
    num_drawn = sum(place is not None for place in drawn)
    columns: dict[str, list[Any]] = {}
    for name, field in COLUMNS.items():
        values = response.get(field)
        if isinstance(values, list) and len(values) == num_drawn:
            columns[name] = [None if place is None else values[place] for place in places]
    if len(columns) == len(COLUMNS):
        pairs = zip(columns["trainer"], columns["logprob"], strict=True)
        columns["gap"] = [
            round(a - b, 6) if is_number(a) and is_number(b) else None for a, b in pairs
        ]
    advantage = response.get("advantage")
    if isinstance(advantage, list) and len(advantage) == num_drawn:
        columns["advantage"] = [None if place is None else advantage[place] for place in places]
    elif is_number(advantage):
        columns["advantage"] = [None if place is None else advantage for place in places]
    return {
        "ids": ids,
        "total": len(every),
        "texts": texts(ids) if texts else None,
        "pads": [isinstance(number, int) and number in texts.pads for number in ids]
        if texts
        else None,
        "columns": columns,
    }


def _drawn(spans: Any, count: int) -> list[int | None]:
    """The number of each token among the sampled ones; None for one that was read. spans: [[begin,
    end], ...] of sampled tokens (qvl.agent.trajectory); without them all are."""
    if not isinstance(spans, list):
        return list(range(count))
    found: list[int | None] = [None] * count
    number = 0
    for span in spans:
        if not (isinstance(span, list) and len(span) == 2 and all(type(x) is int for x in span)):
            continue
        for place in range(max(span[0], 0), min(span[1], count)):
            found[place] = number
            number += 1
    return found
