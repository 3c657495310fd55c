"""Buckets of records in fixed shares, at every point of the stream and not only in total.

A schedule gives the bucket of each turn. It depends on the ratio and the seed alone, so a record waits on
disk until the turn of its bucket.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Protocol

import orjson

from qvl.errors import UserError
from qvl.io import inputs, jsonl
from qvl.io.lines import as_read
from qvl.io.spill import Spill
from qvl.stage import Run
from qvl.streams.functions import FUNCTIONS, to_json
from qvl.streams.ratio import MAX_BUCKETS, RATIOS, parse

MEMORY = 1 << 25  # bytes of lines for all buckets together: two blocks of each at most


def schedule(weights: list[Fraction], seed: int) -> Iterator[int]:
    """The bucket of each turn, endlessly: random, and never two turns from the exact shares.

    "Behind" counts the turns that a bucket is short of its exact share. A bucket that is 1.5 turns behind is
    next. Otherwise the next one is drawn at random from those at most 0.5 turns ahead, with a chance that
    grows with its share and with how far it is behind. The order has no period, which could coincide with
    the number of ranks that read the stream in turn.
    """
    scale = lcm(*(weight.denominator for weight in weights))
    shares = [int(weight * scale) for weight in weights]
    total = sum(shares)
    behind = [0] * len(shares)  # in units of 1 / total turns
    draw = random.Random(seed).random
    while True:
        chances = []
        for place, share in enumerate(shares):
            debt = behind[place] = behind[place] + share
            chances.append(share + debt if debt > 0 else share if 2 * debt > -total else 0)
        most = max(behind)
        turn = behind.index(most)
        if 2 * most < 3 * total:
            left = draw() * sum(chances)
            for place, chance in enumerate(chances):
                left -= chance
                if left < 0:
                    turn = place
                    break
        behind[turn] -= total
        yield turn


def batches(weights: dict[str, Fraction], size: int, seed: int) -> Iterator[int]:
    """The bucket of each turn, endlessly: each batch of `size` turns has the same counts, shuffled.

    The counts are the shares, rounded by largest remainder. UserError if one is rounded to 0.
    """
    total = sum(weights.values())
    exact = [size * weight / total for weight in weights.values()]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda n: counts[n] - exact[n])
    for place in by_remainder[: size - sum(counts)]:
        counts[place] += 1
    for name, count in zip(weights, counts, strict=True):
        if not count:
            raise UserError(f"--batch-size {size}: {name!r} has no place in a batch by --ratio")
    turns = [place for place, count in enumerate(counts) for _ in range(count)]
    draw = random.Random(seed)
    while True:
        yield from draw.sample(turns, size)


class Bucket(Protocol):
    """The records of one share. `take` returns the next one's line, or None if there is none."""

    name: str

    def take(self) -> bytes | None: ...

    def again(self) -> None:
        """Start again from its first record."""
        ...


def mixed(
    run: Run, buckets: list[Bucket], turns: Iterable[int], repeats: int, size: int = 1
) -> Iterator[bytes]:
    """Lines of the buckets' records in turn, until the bucket of a turn is empty; the rest is rejected.

    An empty bucket starts again up to `repeats` times, while another has records not yet read. Only
    whole batches of `size` records are yielded.
    """
    rounds = [0] * len(buckets)
    counts = [0] * len(buckets)
    repeated = 0
    batch: list[tuple[int, int, bytes]] = []  # bucket, round, line
    for turn in turns:
        bucket = buckets[turn]
        line = bucket.take()
        if line is None and rounds[turn] < repeats and counts[turn]:
            rounds[turn] += 1
            if all(rounds):  # each has been used up: nothing new would come
                break
            bucket.again()
            line = bucket.take()
        if line is None:
            break
        counts[turn] += 1
        batch.append((turn, rounds[turn], line))
        if len(batch) < size:
            continue
        for _, number, each in batch:
            repeated += number > 0
            yield _repeated(each, number) if number else each
        batch.clear()
    for place, number, each in batch:
        counts[place] -= 1
        if not number:
            detail = f"{buckets[place].name}: the last batch is not full"
            run.reject(as_read(each), "over-ratio", detail)
    for bucket, used_up in zip(buckets, rounds, strict=True):
        while not used_up and (line := bucket.take()) is not None:
            run.reject(as_read(line), "over-ratio", f"{bucket.name}: no partners are left")
    shares = zip(buckets, counts, strict=True)
    run.note(mixed=", ".join(f"{bucket.name} {count:,}" for bucket, count in shares))
    if repeated:
        run.note(repeated=repeated)


def _repeated(line: bytes, number: int) -> bytes:
    record = orjson.loads(line)
    return jsonl.encode({**record, "id": f"{record.get('id')}-repeat{number}"})


class FileBucket:
    """A file as a bucket, read as its turns come."""

    def __init__(self, run: Run, path: str) -> None:
        self.name, self._path = inputs.display_name(path), path
        self._run = run
        self._reader = jsonl.Reader(path, run.reader.on_bad)
        self._first = True
        self._records = self._reader.as_read()
        run.reader.sources = []

    def take(self) -> bytes | None:
        record = next(self._records, None)
        if self._first:
            if record is not None:
                self._run.read += 1
            else:
                self._run.reader.sources += self._reader.sources
        return None if record is None else record.line

    def again(self) -> None:
        if not Path(self._path).is_file():
            raise UserError(f"{self.name}: --oversample reads a file again, which a pipe cannot")
        self._first = False
        self._records = jsonl.Reader(self._path).as_read()


class StreamBucket:
    """The records of a stream that have one value; those before their turn wait on disk."""

    def __init__(self, stream: "Stream", name: str, spill: Spill) -> None:
        self.name, self.spill = name, spill
        self._stream = stream

    def take(self) -> bytes | None:
        line = self.spill.pop()
        return self._stream.next_of(self) if line is None else line

    def again(self) -> None:
        self.spill.rewind()


class Stream:
    """Distributes records to buckets by their `key`; records without a bucket are rejected."""

    def __init__(
        self,
        run: Run,
        records: Iterable[dict],
        key: Callable[[dict], object],
        names: list[str],
        keep: bool,
    ) -> None:
        block = MEMORY // (2 * len(names))
        spills = [Spill(min(block, 1 << 20), keep=keep) for _ in names]
        self.buckets = [StreamBucket(self, n, s) for n, s in zip(names, spills, strict=True)]
        self._run, self._key = run, key
        self._spills = dict(zip(names, spills, strict=True))
        self._records = iter(records)
        self._keep = keep
        self._others: Counter[str] = Counter()
        self._dealt: dict[str, None] = {}
        self._ended = False

    def next_of(self, bucket: StreamBucket) -> bytes | None:
        """Add records to their buckets up to the first of `bucket`; None at the end of the stream."""
        for record in self._records:
            value = self._key(record)
            name = value if type(value) is str else label(value)
            spill = self._spills.get(name)
            if spill is not None:
                self._dealt[name] = None
                line = jsonl.encode(record)
                if spill is not bucket.spill:
                    spill.push(line)
                    continue
                if self._keep:  # what is taken stays
                    spill.push(line)
                    return spill.pop()
                return line
            if name in self._others or len(self._others) < MAX_BUCKETS:
                self._others[name] += 1
            self._run.reject(record, "no-bucket", f"{name} is not in --ratio")
        if not self._ended:
            self._ended = True
            self._check()
        return None

    def _check(self) -> None:
        """UserError for a bucket without records: a mistake in --ratio or --by."""
        empty = [name for name in self._spills if name not in self._dealt]
        if empty and self._run.read:
            seen = [*self._dealt, *(name for name, _ in self._others.most_common(5))]
            by = self._run.config["by"]
            hint = f"; did you mean --by '{by}()'?" if by in FUNCTIONS else ""
            raise UserError(
                f"--ratio: no record is {empty[0]!r}; by {by} there is {', '.join(seen)}{hint}"
            )


def label(value: object) -> str:
    """The name of a bucket: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else to_json(value)


def mix(
    run: Run,
    key: Callable[[dict], object],
    ratio: str,
    seed: int,
    repeats: int,
    *,
    batch: int | None = None,
    records: Iterable[dict] | None = None,
) -> Iterator[bytes]:
    """The lines of the mix of --ratio: of buckets by `key`, or, without names, of the files.

    batch: records per batch, each of which has the exact ratio; None: the nearest ratio at every point.
    records: the processed input of the run, for a ratio with names; None: the input itself.
    """
    ratio = RATIOS.get(ratio, ratio)
    weights = parse(ratio)
    paths = run.reader.paths
    turns = batches(weights, batch, seed) if batch else schedule([*weights.values()], seed)
    buckets: list[Bucket]
    if "=" in ratio:
        given = run.as_read() if records is None else records
        buckets = [*Stream(run, given, key, list(weights), keep=repeats > 0).buckets]
    elif records is not None:
        raise UserError(f"--ratio {ratio}: shares need names, as in {RATIOS['sft']}")
    elif len(weights) == len(paths) > 1:
        buckets = [FileBucket(run, path) for path in paths]
    else:
        raise UserError(
            f"--ratio {ratio}: {len(weights)} shares for {len(paths)} file(s); give a share a file, "
            f"or names as in {RATIOS['sft']}"
        )
    return mixed(run, buckets, turns, repeats, batch or 1)
