"""The run of a command: records in, records out, what was dropped and why, and the account of it."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qvl
from qvl.errors import UserError
from qvl.io import atomic, jsonl, lineage
from qvl.record import check

if TYPE_CHECKING:
    from qvl.io.journal import Journal

SAMPLE = 20  # records that Run.first keeps


class Run:
    """One command's run; iterating over it yields the input's records, of this shard.

    As a context it commits the outputs on success. After an error no output is left that looks
    complete; the journal stays for --resume.
    """

    def __init__(
        self,
        command: str,
        files: Sequence[str] | None = None,
        output: str | None = "-",
        *,
        argv: Sequence[str] = (),
        rejects: str | None = None,
        on_error: str = "stop",
        plain: bool = False,
        shard: str | None = None,
        resume: bool = False,
        journal: bool = False,
        seed: int | None = None,
        config: dict[str, Any] | None = None,
        sound: bool = False,
        conserves: bool = False,
        reader: Any = None,
        writer: Any = None,
    ) -> None:
        """`sound`: check each record, so that the stage need not; an unsound one is a bad line.
        `conserves`: check at the end that every record read was kept or rejected.
        `reader`, `writer`: in place of jsonl.Reader and jsonl.Writer, for files of other formats; they
        are called with (paths, on_bad) and (path).
        """
        if on_error not in ("stop", "reject"):
            raise UserError(f"--on-error {on_error}: expected stop or reject")
        if on_error == "reject" and rejects is None:
            raise UserError("--on-error reject needs --rejects FILE, so that nothing is lost")
        if resume and output in (None, "-"):
            raise UserError("--resume needs -o FILE: a pipe cannot be continued")
        self.command, self.argv, self.seed = command, list(argv), seed
        self.config = config or {}
        self.shard = parse_shard(shard)
        self.on_error, self.sound, self.conserves = on_error, sound, conserves
        self.read, self.kept, self.bad = 0, 0, 0
        self.first: list[dict] = []  # records, as they were read
        self.reasons: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.started = lineage.now()
        on_bad = self._on_bad if on_error == "reject" else None
        self.reader = (reader or jsonl.Reader)(files or "-", on_bad)
        self.journal: Journal | None = None
        self._others: list[tuple[jsonl.Writer, dict]] = []
        with contextlib.ExitStack() as stack:  # if one cannot be opened, remove the others
            self._rejects = _writer(rejects, plain, stack)
            self._output = _writer(output, plain, stack, writer)
            if journal and output not in (None, "-"):
                import qvl.io.journal as journals  # hashlib alone costs 3 ms of start-up

                identity = {"command": command, "config": self.config, "seed": seed, "shard": shard}
                self.journal = journals.Journal(str(output), identity, resume)
            stack.pop_all()

    def __iter__(self) -> Iterator[dict]:
        return self._taken(self.reader)

    def as_read(self) -> Iterator[dict]:
        """As iterating, for a stage that changes no record in place: each is written as it was read.

        A record of jsonl.Reader carries its line (qvl.io.lines.AsRead), so that nothing is encoded anew.
        """
        records = self.reader.as_read() if isinstance(self.reader, jsonl.Reader) else self.reader
        return self._taken(records)

    def _taken(self, records: Iterable[dict]) -> Iterator[dict]:
        index, count = self.shard
        if count > 1:
            records = itertools.islice(records, index, None, count)
        for record in records:
            self.read += 1
            if self.read <= SAMPLE:
                self.first.append(record)
            if not self.sound or self._is_sound(record):
                yield record

    def _is_sound(self, record: dict) -> bool:
        problem = check(record)
        if problem is not None:
            if self.on_error == "stop":
                raise UserError(
                    f"{self.reader.place}: {problem}; 'qvl check' finds all such records"
                )
            self.reject(record, "unsound", problem)
        return problem is None

    def write(self, records: Iterable[dict]) -> None:
        """Write all records to the output."""
        if self._output is None:
            for _ in records:
                self.kept += 1
            return
        write = self._output.write
        for record in records:
            write(record)
            self.kept += 1

    def put(self, record: dict) -> None:
        """Write one record; without an output it is only counted."""
        if self._output:
            self._output.write(record)
        self.kept += 1

    def write_lines(self, lines: Iterable[bytes]) -> None:
        """Write records that are lines already, in normal form (qvl.io.lines.AsRead)."""
        for line in lines:
            if self._output:
                self._output.write_bytes(line)
            self.kept += 1

    def reject(self, record: dict, reason: str, detail: str = "") -> None:
        """Count a dropped record under `reason`, and write it to the rejects."""
        self.reasons[reason] += 1
        self.write_reject(record, reason, detail)

    def write_reject(self, record: dict, reason: str, detail: str = "") -> None:
        """Write to the rejects what was taken out of a record that is kept; it is not counted."""
        if self._rejects:
            note = {"stage": self.command, "reason": reason}
            self._rejects.write_with(
                record, "reject", {**note, "detail": detail} if detail else note
            )

    def note(self, **facts: Any) -> None:
        """Add facts to the summary, the report and the lineage."""
        self.notes.update(facts)

    def account(self) -> dict:
        """What this run did: its entry in the lineage and the content of --report."""
        entry: dict[str, Any] = {
            "command": self.command,
            "argv": self.argv,
            "version": qvl.__version__,
            "read": self.read,
            "kept": self.kept,
            "rejected": dict(sorted(self.reasons.items())),
        }
        if self.seed is not None:
            entry["seed"] = self.seed
        if self.config:
            entry["config"] = self.config
        if self.notes:
            entry["notes"] = self.notes
        entry["started"] = round(self.started, 3)
        entry["seconds"] = round(lineage.now() - self.started, 3)
        entry["inputs"] = self.reader.sources
        return entry

    def __enter__(self) -> "Run":
        return self

    def add_output(self, writer: jsonl.Writer, facts: dict[str, Any]) -> None:
        """Complete one more output with this run; its lineage has `facts` in place of the run's."""
        self._others.append((writer, facts))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A broken pipe is a reader that had enough: the run ended well, and its rejects are kept.
        good = kind is None or issubclass(kind, BrokenPipeError)
        writers = [writer for writer in (self._rejects, self._output) if writer]
        writers += [writer for writer, _ in self._others]
        try:
            if kind is None:
                self._check_conservation()
            if good:
                self._commit(to_output=kind is None)
        except BaseException as error:
            good = isinstance(error, BrokenPipeError)
            raise
        finally:
            for writer in writers:
                writer.abort()  # what is not published
            if self.journal:
                self.journal.close(done=good)

    def _commit(self, to_output: bool) -> None:
        """Make all outputs appear: none before each is complete on disk."""
        entry = self.account()
        outputs = [(self._rejects, entry)] if self._rejects else []
        if to_output:
            outputs += [(self._output, entry)] if self._output else []
            outputs += [(writer, {**entry, **facts}) for writer, facts in self._others]
        broken: BrokenPipeError | None = None
        for writer, each in outputs:
            try:
                writer.finish()
                writer.seal(each)
            except BrokenPipeError as error:
                broken = error
        for writer, _ in outputs:
            writer.publish()
        if broken:
            raise broken

    def _check_conservation(self) -> None:
        total = self.kept + sum(self.reasons.values()) - self.bad
        if self.conserves and total != self.read:
            raise AssertionError(f"{self.command}: {self.read} read, but {total} kept or rejected")

    def _on_bad(self, bad: jsonl.BadLine) -> None:
        self.bad += 1
        text = bad.line.decode("utf-8", "backslashreplace")
        self.reject({"line": text}, bad.reason, f"line {bad.number}: {bad.detail}")


def refuse_twice(outputs: dict[str, str | None]) -> None:
    """UserError if two flags name the same file, of which one output would replace the other."""
    flags: dict[Path, str] = {}
    for flag, path in outputs.items():
        target = None if path in (None, "-") else atomic.target_of(path)
        if target is not None and flags.setdefault(target, flag) != flag:
            raise UserError(f"{flags[target]} and {flag} name the same file, {path}; give two")


def _writer(
    path: str | None, plain: bool, stack: contextlib.ExitStack, make: Any = None
) -> jsonl.Writer | None:
    if path is None:
        return None
    writer = make(path) if make else jsonl.Writer(path, plain=plain)
    stack.callback(writer.abort)
    return writer


def parse_shard(shard: str | None) -> tuple[int, int]:
    """The index from 0 and the number of shards: "2/4" -> (1, 4)."""
    if shard is None:
        return 0, 1
    index, slash, count = shard.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UserError(f"--shard {shard}: expected I/N with I from 1 to N, such as 1/4")
    return int(index) - 1, int(count)
