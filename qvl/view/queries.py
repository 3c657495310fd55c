"""Queries of streams: the numbers of the records that match, in order, as far as they are found."""

import contextlib
import threading
from array import array
from collections import OrderedDict
from typing import Any

from qvl.errors import UserError
from qvl.processes import ProcessDied, Worker
from qvl.streams.expression import Expression
from qvl.view.scan import Scan
from qvl.view.stream import Stream

KEPT = 4  # queries; the one that was used least recently is stopped and forgotten
WAIT_SECONDS = 0.2


class Query:
    """The matching records of one stream; a thread hands blocks to a process as the stream grows."""

    def __init__(self, stream: Stream, where: str, text: str) -> None:
        self.stream = stream
        self.found = array("Q")
        self.num_scanned = 0
        self.done = False
        self.error: str | None = None
        self._worker = Worker(Scan(where, text))
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="query", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._worker.kill()

    def _work(self) -> None:
        store, index = self.stream.store, 0
        try:
            while not self._stopped:
                if index == store.num_blocks:
                    if self.stream.done:
                        break
                    self.stream.wait(index, WAIT_SECONDS)
                    continue
                first, frame = store.compressed(index)
                self.found.extend(first + place for place in self._worker(None, frame))
                self.num_scanned = store.end(index)
                index += 1
        except UserError as error:
            self.error = str(error)
        except (ProcessDied, OSError, ValueError) as error:  # a killed worker closes its pipes
            if not self._stopped:
                self.error = str(error)
        finally:
            self.done = True
            with contextlib.suppress(OSError):
                self._worker.kill()


class Queries:
    """The queries of all streams, by filter and text."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, str], Query] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, stream: Stream, where: str, text: str) -> Query:
        """The query, which starts if it is new. UserError for a filter that is none."""
        key = id(stream), where, text
        with self._lock:
            query = self._kept.pop(key, None)
            if query is None:
                if where:
                    Expression(where)
                query = Query(stream, where, text)
            self._kept[key] = query
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)[1].stop()
            return query

    def close(self) -> None:
        with self._lock:
            for query in self._kept.values():
                query.stop()
            self._kept.clear()


def whole(stream: Stream) -> dict[str, Any]:
    """The state of no query: every record matches."""
    return {"total": len(stream), "scanned": len(stream), "done": stream.done, "error": None}


def state(query: Query) -> dict[str, Any]:
    return {
        "total": len(query.found),
        "scanned": query.num_scanned,
        "done": query.done,
        "error": query.error,
    }
