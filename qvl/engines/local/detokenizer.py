"""Token ids to text, token by token: a character may span tokens, and so may a stop string."""

from collections.abc import Callable


class Detokenizer:
    """The text of one row as it grows.

    decode: token ids -> text, without special tokens.
    text: the text so far. is_stopped: a stop string was found; `text` ends before it.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: list[str]) -> None:
        self.decode, self.stops = decode, stops
        self.text, self.is_stopped = "", False
        self._held = max((len(stop) for stop in stops), default=1) - 1
        self._ids: list[int] = []
        self._start = 0  # where decoding begins: one token early, for the spaces between
        self._decoded = 0  # tokens whose text is in self.text
        self._returned = 0  # characters returned by `new_text`

    def add(self, token: int) -> None:
        """Append a token."""
        self._ids.append(token)
        before = self.decode(self._ids[self._start : self._decoded])
        now = self.decode(self._ids[self._start :])
        if len(now) > len(before) and not now.endswith("\ufffd"):
            self._extend(now[len(before) :])
            self._start, self._decoded = self._decoded, len(self._ids)

    def finish(self) -> None:
        """Decode the rest as it is, incomplete characters included."""
        if not self.is_stopped and self._decoded < len(self._ids):
            before = self.decode(self._ids[self._start : self._decoded])
            self._extend(self.decode(self._ids[self._start :])[len(before) :])
        self._held = 0

    def new_text(self) -> str:
        """The text since the last call that can no longer become part of a stop string."""
        end = (
            len(self.text) if self.is_stopped else max(len(self.text) - self._held, self._returned)
        )
        new = self.text[self._returned : end]
        self._returned = end
        return new

    def _extend(self, new: str) -> None:
        begin = max(len(self.text) - self._held, 0)
        self.text += new
        found = [at for stop in self.stops if (at := self.text.find(stop, begin)) >= 0]
        if found:
            self.text, self.is_stopped = self.text[: min(found)], True
