"""A stream that is read in the background: its records by number and by id, as far as they are read."""

import threading
from array import array
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.io import inputs, jsonl
from qvl.io.lines import BadLine
from qvl.view.store import Store

MAX_BAD_TEXT = 10_000  # characters shown of a line that is no record
STAGE = "view"


class Stream:
    """The records of one file; `start` reads it in a thread.

    A line that is not a record is shown as the reject streams hold it, with its text in `line`. A file
    that is cut short or corrupt has the records before that, and an `error`.
    """

    def __init__(self, path: str, media_root: Path) -> None:
        self.path, self.media_root = path, media_root
        self.name = inputs.display_name(path)
        self.store = Store()
        self.num_bad = 0
        self.error: str | None = None
        self.done = False
        self._ids = array("q")  # a hash per record: 8 bytes instead of a text
        self._reader = jsonl.read(path, self._keep_bad)
        self._changed = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self.read, name=f"read {self.name}", daemon=True).start()

    def read(self) -> None:
        """Read the file to its end, or until `stop`."""
        blocks = 0
        try:
            for record in self._reader.as_read():
                self._keep(record, record.line)
                if self.store.num_blocks != blocks:
                    blocks = self.store.num_blocks
                    self._tell()
                if self._stopped:
                    return
            self.store.flush()
        except UserError as error:
            self.error = str(error)
            self.store.flush()
        finally:
            self.done = True
            self._tell()

    def stop(self) -> None:
        self._stopped = True
        self._tell()

    def wait(self, blocks: int, seconds: float) -> None:
        """Wait until more than `blocks` blocks are complete, or the stream is read."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.store.num_blocks > blocks or self.done or self._stopped, seconds
            )

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """A record. IndexError where there is none."""
        return orjson.loads(self.store[number])

    def find(self, name: Any) -> int | None:
        """The number of the first record with an id."""
        wanted, start = hash(name), 0
        while True:
            try:
                number = self._ids.index(wanted, start)
            except ValueError:
                return None
            if number < len(self) and self[number].get("id") == name:
                return number
            start = number + 1

    def state(self) -> dict[str, Any]:
        """How far the stream is read."""
        total = self._reader.bytes_total
        return {
            "name": self.name,
            "count": len(self),
            "bad": self.num_bad,
            "done": self.done,
            "error": self.error,
            "share": round(self._reader.bytes_read / total, 3) if total else None,
        }

    def _keep(self, record: dict[str, Any], line: bytes) -> None:
        name = record.get("id")
        self._ids.append(hash(name) if isinstance(name, str | int | float) else 0)
        self.store.append(line)

    def _keep_bad(self, bad: BadLine) -> None:
        self.num_bad += 1
        text = bad.line.decode("utf-8", "replace")
        record = {
            "id": f"line {bad.number}",
            "line": text[:MAX_BAD_TEXT],
            "reject": {"stage": STAGE, "reason": bad.reason, "detail": bad.detail},
        }
        self._keep(record, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
