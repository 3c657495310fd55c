"""Tokens to text, piece by piece: bytes of one character may span tokens, and a stop string too."""

from typing import Any


class Text:
    """The text of one row as it grows.

    decode: token ids -> text, special tokens left out.
    stopped: a stop string was found; `text` ends before it.
    """

    def __init__(self, decode: Any, stops: list[str]) -> None:
        self.decode, self.stops = decode, stops
        self.text, self.stopped = "", False
        self._held = max((len(stop) for stop in stops), default=1) - 1
        self._ids: list[int] = []
        self._start = 0  # where decoding begins: one settled piece back, for the spaces between
        self._settled = 0  # tokens whose text is in self.text
        self._handed = 0  # characters handed over by `piece`

    def add(self, token: int) -> None:
        self._ids.append(token)
        before = self.decode(self._ids[self._start : self._settled])
        now = self.decode(self._ids[self._start :])
        if len(now) > len(before) and not now.endswith("\ufffd"):
            self._extend(now[len(before) :])
            self._start, self._settled = self._settled, len(self._ids)

    def finish(self) -> None:
        """Take the rest as it is, half characters included."""
        if not self.stopped and self._settled < len(self._ids):
            before = self.decode(self._ids[self._start : self._settled])
            self._extend(self.decode(self._ids[self._start :])[len(before) :])
        self._held = 0

    def piece(self) -> str:
        """What is new and cannot become part of a stop string any more."""
        end = len(self.text) if self.stopped else max(len(self.text) - self._held, self._handed)
        new = self.text[self._handed : end]
        self._handed = end
        return new

    def _extend(self, new: str) -> None:
        begin = max(len(self.text) - self._held, 0)
        self.text += new
        found = [at for stop in self.stops if (at := self.text.find(stop, begin)) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True
