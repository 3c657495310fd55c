"""What `qvl distill collect` does to a record: a teacher scores its sequences, and the figures of all."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import zstandard

from qvl.distill import codes
from qvl.distill.sequences import sequences
from qvl.distill.settings import TeacherSettings
from qvl.io import jsonl
from qvl.io.writer import FILE
from qvl.pack.render import Renderer
from qvl.pending import Pending, Ready
from qvl.stage import Drop, Run

Record = dict[str, Any]


class Scored(Pending, Protocol):
    """A scored record to come."""

    @property
    def rounding(self) -> Sequence[Sequence[Any]]:
        """The values of qvl.distill.codes.Rounding for each response, once there is a result."""
        ...


class Scorer(Protocol):
    """Teachers at endpoints, or one on Megatron."""

    @property
    def settings(self) -> TeacherSettings: ...

    @property
    def renderer(self) -> Renderer: ...

    def score(self, record: Record) -> Scored | Drop: ...


class Collect:
    """Scores sequences; counts what they take and what rounding does to them."""

    def __init__(self, teachers: Scorer) -> None:
        self.teachers = teachers
        self._tokens = self._entries = self._rounded_entries = self._rounded_tokens = 0
        self._error = self._largest = self._divergence = 0.0
        parameters = zstandard.ZstdCompressionParameters(**FILE)
        self._frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._bytes = 0

    def sequences(self, run: Run) -> Iterator[Record]:
        """Those of all records of a run; what has none is rejected."""
        for record in run:
            for each in sequences(record, self.teachers.renderer):
                if isinstance(each, Drop):
                    run.reject(record, each.reason, each.detail)
                else:
                    yield each

    def submit(self, record: Record) -> Pending:
        """The scored record to come, or a Drop."""
        scored = self.teachers.score(record)
        return Ready(scored) if isinstance(scored, Drop) else _Measured(self, scored)

    def watch(self, result: Record | Drop) -> None:
        """Count a result, also one of a run that was interrupted."""
        if isinstance(result, Drop):
            return
        self._bytes += len(self._frame.compress(jsonl.encode(result)))
        for response in result["responses"]:
            tokens = len(response["token_ids"])
            self._tokens += tokens
            self._entries += tokens * self.teachers.settings.top_k

    def measure(self, scored: Scored) -> None:
        for each in scored.rounding:
            found = codes.Rounding(*each)
            self._rounded_entries += found.entries
            self._error += found.error
            self._largest = max(self._largest, found.largest)
            self._rounded_tokens += found.tokens
            self._divergence += found.divergence

    def facts(self) -> dict[str, Any]:
        """tokens, entries; their bytes as the stream has them after zstd, with the record around them;
        what rounding changed, of the sequences that were not resumed."""
        size = self._bytes + len(self._frame.flush())
        found = {
            "tokens": self._tokens,
            "entries": self._entries,
            "bytes_per_token": size / max(self._tokens, 1),
        }
        if self._entries:
            found["bytes_per_entry"] = size / self._entries
        if self._rounded_entries:
            found["rounding_nats"] = self._error / self._rounded_entries
            found["rounding_nats_most"] = self._largest
            found["rounding_kl_per_token"] = self._divergence / self._rounded_tokens
        return found


class _Measured:
    """A scored record, measured once it is there."""

    def __init__(self, collect: Collect, scored: Scored) -> None:
        self._collect, self._scored = collect, scored

    def done(self) -> bool:
        return self._scored.done()

    def result(self) -> Record:
        found = self._scored.result()
        self._collect.measure(self._scored)
        return found
