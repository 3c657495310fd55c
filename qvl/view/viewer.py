"""What the page asks for, whether over HTTP or in a file: streams, rows, records, pictures, tokens."""

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.view import pictures, queries, runs, tokens
from qvl.view.queries import Queries
from qvl.view.rows import is_pack, responses_of, row
from qvl.view.shown import Medium, media_of, shown
from qvl.view.stream import Stream

MAX_ROWS = 400  # of an answer
START_SECONDS = 0.3  # to wait for the first records of a stream: most pages then need one paint


class NotThere(UserError):
    """There is no such stream, record or medium."""


class Viewer:
    """Streams, and what is to be seen of them. Its methods may be called from any thread."""

    def __init__(
        self, streams: Sequence[Stream], *, model: Path | None = None, allow_remote: bool = False
    ) -> None:
        """model: the folder of the tokenizer that reads token ids; without it, that of the run that
        wrote a file of rollouts, if it is there."""
        self.streams = list(streams)
        self.allow_remote = allow_remote
        self._queries = Queries()
        self._texts: dict[Path, tokens.Texts] = {}
        self._models = [model or runs.model_of(each.path) for each in self.streams]

    def start(self) -> None:
        for stream in self.streams:
            stream.start()

    def close(self) -> None:
        self._queries.close()
        for stream in self.streams:
            stream.stop()

    def state(self) -> dict[str, Any]:
        """The streams, and how far they are read."""
        found = [each.state() for each in self.streams]
        for each, model in zip(found, self._models, strict=True):
            each["has_texts"] = model is not None
        return {"streams": found}

    def rows(
        self, stream: int, where: str, text: str, first: int, count: int, at: int | None = None
    ) -> dict[str, Any]:
        """The rows `first` to `first + count` of what matches; `place`: of the record `at`, if it does.

        UserError for a filter that is none.
        """
        source = self.stream(stream)
        if where or text:
            query = self._queries.get(source, where, text)
            state = queries.state(query)
            last = min(first + min(count, MAX_ROWS), state["total"])
            numbers: Sequence[int] = query.found[first:last]
            place = _place(query.found, at)
        else:
            if not len(source):
                source.wait(0, START_SECONDS)
            state = queries.whole(source)
            numbers = range(first, min(first + min(count, MAX_ROWS), state["total"]))
            place = at if at is not None and 0 <= at < state["total"] else None
        found = [row(source[number], number) for number in numbers]
        return {**state, "first": first, "rows": found, "place": place}

    def record(self, stream: int, number: int) -> dict[str, Any]:
        """A record as the page shows it."""
        return shown(self._record(stream, number), number)

    def find(self, stream: int, name: str) -> dict[str, Any]:
        """The number of the record with an id: the one beside which another stream's is shown."""
        return {"n": self.stream(stream).find(name)}

    def image(self, stream: int, number: int, medium: int, *, large: bool) -> tuple[bytes, str]:
        """An image of a record and its media type. MediaError."""
        found = self._medium(stream, number, medium, "image")
        side = pictures.LARGE_SIDE if large else pictures.SIDE
        root = self.stream(stream).media_root
        return pictures.picture(found, root, allow_remote=self.allow_remote, side=side)

    def frames(self, stream: int, number: int, medium: int) -> dict[str, Any]:
        """Frames of a video of a record. MediaError."""
        found = self._medium(stream, number, medium, "video")
        return pictures.frames(
            found, self.stream(stream).media_root, allow_remote=self.allow_remote
        )

    def segments(self, stream: int, number: int) -> dict[str, Any]:
        """The records of a packed line."""
        return {"segments": tokens.segments(self._pack(stream, number))}

    def pack_tokens(self, stream: int, number: int, start: int, count: int) -> dict[str, Any]:
        """Tokens of a packed line, with their loss weights."""
        line = self._pack(stream, number)
        return tokens.of_pack(line, start, count, self._texts_of(stream))

    def response_tokens(
        self, stream: int, number: int, response: int, start: int, count: int
    ) -> dict[str, Any]:
        """Tokens of a response, with advantages and log-probabilities."""
        responses = responses_of(self._record(stream, number))
        if not 0 <= response < len(responses):
            raise NotThere(f"record {number} has no response {response}")
        return tokens.of_response(responses[response], start, count, self._texts_of(stream))

    def stream(self, number: int) -> Stream:
        if not 0 <= number < len(self.streams):
            raise NotThere(f"there is no stream {number}")
        return self.streams[number]

    def _record(self, stream: int, number: int) -> dict[str, Any]:
        try:
            return self.stream(stream)[number]
        except IndexError:
            raise NotThere(f"there is no record {number}") from None

    def _pack(self, stream: int, number: int) -> dict[str, Any]:
        line = self._record(stream, number)
        if not is_pack(line):
            raise NotThere(f"record {number} is no packed line")
        return line

    def _medium(self, stream: int, number: int, medium: int, kind: str) -> Medium:
        media = media_of(self._record(stream, number))
        if not 0 <= medium < len(media) or media[medium].kind != kind:
            raise NotThere(f"record {number} has no {kind} {medium}")
        return media[medium]

    def _texts_of(self, stream: int) -> tokens.Texts | None:
        model = self._models[stream]
        if model is None:
            return None
        return self._texts.setdefault(model, tokens.Texts(model))


def _place(found: Sequence[int], at: int | None) -> int | None:
    if at is None:
        return None
    place = bisect.bisect_left(found, at)
    return place if place < len(found) and found[place] == at else None
