"""Turn a function of one record into a stage, and keep the account of a command's run.

An author writes one of three functions; `keep`, `annotate` and `Run.write` make a stage of it:

    Reject   = Callable[[dict], str | Drop | None]           why to drop it, or None to keep it
    Annotate = Callable[[dict], dict]                         the record with fields added
    Stream   = Callable[[Iterable[dict]], Iterator[dict]]     when it needs several at once
"""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

import qvl
from qvl.errors import UserError
from qvl.io import jsonl, lineage
from qvl.pending import Pending, Steps
from qvl.record import check

if TYPE_CHECKING:
    from qvl.io.journal import Journal


class Drop(NamedTuple):
    """Why a record is dropped: one stable word to count, and the particulars."""

    reason: str
    detail: str = ""
    record: dict | None = None
    """As it goes to the rejects, with what was measured; None: as it came."""


Reject = Callable[[dict], "str | Drop | None"]
Annotate = Callable[[dict], dict]
Work = Callable[[dict], "dict | Drop"]

WINDOW = 4  # records begun for each at work, so that one slow answer does not idle the rest


class Run:
    """One command's run: records in, records out, what was dropped and why.

    Iterating yields the input's records (of this shard). As a context it ends with the outputs
    committed on success and nothing that looks done otherwise; a journal survives for --resume.
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
        """`sound`: a record that `record.check` objects to is a bad line, so a stage need not ask.
        `conserves`: every record read is kept or rejected, which is checked at the end.
        `reader`, `writer`: what reads FILEs and writes the output where that is no stream of ours;
        called with (paths, on_bad) and (path), they behave as jsonl.Reader and jsonl.Writer do.
        """
        if on_error not in ("stop", "reject"):
            raise UserError(f"--on-error {on_error}: say stop or reject")
        if on_error == "reject" and rejects is None:
            raise UserError("--on-error reject needs --rejects FILE, so that nothing is lost")
        if resume and output in (None, "-"):
            raise UserError("--resume needs -o FILE: a pipe cannot be continued")
        self.command, self.argv, self.seed = command, list(argv), seed
        self.config = config or {}
        self.shard = parse_shard(shard)
        self.on_error, self.sound, self.conserves = on_error, sound, conserves
        self.read, self.kept, self.bad = 0, 0, 0
        self.reasons: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.started = lineage.now()
        on_bad = self._on_bad if on_error == "reject" else None
        self.reader = (reader or jsonl.Reader)(files or "-", on_bad)
        self.journal: Journal | None = None
        with contextlib.ExitStack() as stack:  # where one cannot be opened, leave none behind
            self._rejects = _writer(rejects, plain, stack)
            self._output = _writer(output, plain, stack, writer)
            if journal and output not in (None, "-"):
                import qvl.io.journal as journals  # hashlib alone is 3 ms of start-up

                identity = {"command": command, "config": self.config, "seed": seed, "shard": shard}
                self.journal = journals.Journal(str(output), identity, resume)
            stack.pop_all()

    def __iter__(self) -> Iterator[dict]:
        index, count = self.shard
        for number, record in enumerate(self.reader):
            if number % count == index:
                self.read += 1
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
        for record in records:
            self.put(record)

    def put(self, record: dict) -> None:
        """Write one record; without an output it is only counted."""
        if self._output:
            self._output.write(record)
        self.kept += 1

    def reject(self, record: dict, reason: str, detail: str = "") -> None:
        """Put one record aside, with what was wrong."""
        self.reasons[reason] += 1
        self.aside(record, reason, detail)

    def aside(self, record: dict, reason: str, detail: str = "") -> None:
        """Write what was taken out of a record that is kept to the rejects; it counts for none."""
        if self._rejects:
            note = {"stage": self.command, "reason": reason}
            self._rejects.write(
                {**record, "reject": {**note, "detail": detail} if detail else note}
            )

    def note(self, **facts: Any) -> None:
        """Add facts to the summary, the report and the lineage."""
        self.notes.update(facts)

    def account(self) -> dict:
        """What this run did: the entry of the lineage and the report of --report."""
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A reader that had enough ended the run well: what was put aside until then is kept.
        good = kind is None or issubclass(kind, BrokenPipeError)
        try:
            if kind is None:
                self._check_conservation()
            if good:
                entry = self.account()
                for writer in (self._rejects, None if kind else self._output):
                    if writer:
                        writer.commit(entry)
        except BaseException:
            good = False
            raise
        finally:
            for writer, whole in ((self._rejects, good), (self._output, good and kind is None)):
                if writer and not whole:
                    writer.abort()
            if self.journal:
                self.journal.close(done=good)

    def _check_conservation(self) -> None:
        total = self.kept + sum(self.reasons.values()) - self.bad
        if self.conserves and total != self.read:
            raise AssertionError(f"{self.command}: {self.read} read, but {total} kept or rejected")

    def _on_bad(self, bad: jsonl.BadLine) -> None:
        self.bad += 1
        text = bad.line.decode("utf-8", "backslashreplace")
        self.reject({"line": text}, bad.reason, f"line {bad.number}: {bad.detail}")


def _writer(
    path: str | None, plain: bool, stack: contextlib.ExitStack, make: Any = None
) -> jsonl.Writer | None:
    if path is None:
        return None
    writer = make(path) if make else jsonl.Writer(path, plain=plain)
    stack.callback(writer.abort)
    return writer


def keep(run: Run, reject: Reject, *, concurrency: int = 1, jobs: int = 1) -> Iterator[dict]:
    """Pass on what `reject` has nothing against; put the rest aside with its reason."""

    def verdict(record: dict, reason: Any) -> Any:
        if reason is None:
            return record
        return Drop(reason) if isinstance(reason, str) else reason

    results = pairs(run, reject, concurrency=concurrency, jobs=jobs)
    return _passed(run, ((record, verdict(record, reason)) for record, reason in results))


def annotate(
    run: Run, function: Annotate, *, concurrency: int = 1, jobs: int = 1
) -> Iterator[dict]:
    """Pass on every record with what `function` adds."""
    return each(run, function, concurrency=concurrency, jobs=jobs)


def each(run: Run, work: Work, *, concurrency: int = 1, jobs: int = 1) -> Iterator[dict]:
    """Do `work` on each record, in order; resume from the journal. See `pairs`.

    `work` returns the record to pass on, or a Drop.
    """
    return _passed(run, pairs(run, work, concurrency=concurrency, jobs=jobs))


def submit_each(
    run: Run,
    submit: Callable[[dict], Pending],
    *,
    concurrency: int,
    watch: Callable[["dict | Drop"], None] | None = None,
) -> Iterator[dict]:
    """As `each`, for work that waits elsewhere, as in a client's event loop: it needs no threads here.

    `submit` returns what has done() and result(), as a future has, and leaves the record as it is.
    `watch` sees each result in order, also those of the run that is resumed, and may raise.
    """
    return _passed(run, _in_a_window(run, submit, WINDOW * concurrency), watch)


def _passed(
    run: Run,
    results: Iterable[tuple[dict, Any]],
    watch: Callable[["dict | Drop"], None] | None = None,
) -> Iterator[dict]:
    for record, done in results:
        result = done.outcome if isinstance(done, _Replayed) else done
        if watch:
            watch(result)
        if run.journal and not isinstance(done, _Replayed):
            run.journal.add(record, _row(result))
        if isinstance(result, Drop):
            run.reject(result.record or record, result.reason, result.detail)
        else:
            yield result


def _row(done: "dict | Drop") -> dict[str, Any]:
    if not isinstance(done, Drop):
        return {"out": done}
    drop = [done.reason, done.detail]
    return {"drop": drop if done.record is None else [*drop, done.record]}


class _Replayed(NamedTuple):
    """What the interrupted run had made of a record."""

    outcome: "dict | Drop"

    def done(self) -> bool:
        return True

    def result(self) -> "_Replayed":
        return self


class _Failed(NamedTuple):
    """A record of which nothing could be begun: told in its turn, after what came before it."""

    error: Exception

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        raise self.error


def pairs(
    run: Run, work: Callable[[dict], Any], *, concurrency: int = 1, jobs: int = 1
) -> Iterator[tuple[dict, Any]]:
    """Each record with what `work` makes of it, in the order of the records.

    `concurrency`: how many at once in threads, which suits waiting for an endpoint. `jobs`: in how
    many processes, which suits computing; `work` must be picklable and is best told by a result that
    is small. The window is bounded either way, so an endless stream is fine.
    """

    if jobs > 1:
        yield from _in_processes(run, work, jobs)
        return
    if concurrency == 1:
        for record in run:
            # A copy is what the journal's key is taken of: `work` may add to the record in place.
            yield (_copy(record) if run.journal else record), _replayed(run, record) or work(record)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(concurrency)
    try:
        yield from _in_a_window(run, lambda record: pool.submit(work, record), 2 * concurrency)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_a_window(
    run: Run, submit: Callable[[dict], Pending], most: int
) -> Iterator[tuple[dict, Any]]:
    """Each record with the result of what was begun, in order; at most so many at once."""
    window: deque[tuple[dict, Pending]] = deque()
    steps = Steps()
    for record in run:
        original = _copy(record) if run.journal else record
        pending = _replayed(run, record) or _submitted(submit, record)
        window.append((original, pending))
        steps.add(pending)
        while window and (len(window) >= most or window[0][1].done()):
            steps.advance()
            yield _first(window)
    while window:
        steps.advance()
        yield _first(window)


def _submitted(submit: Callable[[dict], Pending], record: dict) -> Pending:
    try:
        return submit(record)
    except UserError as error:
        return _Failed(error)


def _replayed(run: Run, record: dict) -> _Replayed | None:
    row = run.journal.replay(record) if run.journal else None
    if row is None:
        return None
    return _Replayed(Drop(*row["drop"]) if "drop" in row else row["out"])


def _in_processes(run: Run, work: Callable[[dict], Any], jobs: int) -> Iterator[tuple[dict, Any]]:
    from qvl.processes import ordered

    def prepared() -> Iterator[tuple[dict, _Replayed | None]]:
        for record in run:
            yield record, _replayed(run, record)

    yield from ordered(prepared(), work, jobs)


def _first(window: "deque[tuple[dict, Pending]]") -> tuple[dict, Any]:
    record, pending = window.popleft()
    return record, pending.result()


def _copy(record: dict) -> dict:
    return orjson.loads(jsonl.encode(record))


def parse_shard(shard: str | None) -> tuple[int, int]:
    """ "2/4" -> (1, 4): this run's remainder, and of how many."""
    if shard is None:
        return 0, 1
    index, slash, count = shard.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UserError(f"--shard {shard}: expected I/N with I from 1 to N, such as 1/4")
    return int(index) - 1, int(count)
