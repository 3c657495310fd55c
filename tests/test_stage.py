"""The account of a run, and what resuming promises: the same bytes, and nothing paid twice."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import orjson
import pytest

from qvl import stage
from qvl.errors import UserError
from qvl.io import jsonl

SLOW_STAGE = """
import signal, sys
from qvl import stage
from qvl.cli.main import _terminate
from qvl.cli.session import session
import time

signal.signal(signal.SIGTERM, _terminate)
seconds, *flags = sys.argv[1:]

def work(record):
    time.sleep(float(seconds))
    with open("paid", "a") as file:
        file.write(record["id"] + "\\n")
    if record["n"] % 3 == 0:
        return stage.Drop("third", "divisible by 3")
    record["square"] = record["n"] ** 2
    return record

options = dict(rejects="rejects.zst", journal=True, resume="--resume" in flags, conserves=True)
with session("slow", ["in.jsonl"], "out.zst", **options) as run:
    run.write(stage.each(run, work, concurrency=4 if "--wide" in flags else 1))
"""


@pytest.fixture
def slow(tmp_path):
    """Start the stage above; its input has 40 records."""
    rows = (f'{{"id":"r{i}","n":{i}}}\n' for i in range(40))
    (tmp_path / "in.jsonl").write_text("".join(rows))
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW_STAGE))

    def start(seconds: float, *flags: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "slow.py", str(seconds), *flags],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            env={"SOURCE_DATE_EPOCH": "0", "PATH": str(Path(sys.executable).parent)},
        )

    return start


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("flags", [(), ("--wide",)], ids=["one", "four"])
def test_resuming_ends_in_the_same_bytes_and_pays_nothing_twice(slow, tmp_path, signal_name, flags):
    assert slow(0, *flags).wait() == 0
    names = ("out.zst", "rejects.zst")
    whole = {name: (tmp_path / name).read_bytes() for name in names}
    for name in (*names, "paid"):
        (tmp_path / name).unlink()

    first = slow(0.15, *flags)
    wait_for(tmp_path / "paid", lines=12)
    time.sleep(1.0)  # what is older than a second is in the journal, even after kill -9
    first.send_signal(getattr(signal, signal_name))
    first.wait()
    done_before = len((tmp_path / "paid").read_text().splitlines())
    assert not (tmp_path / "out.zst").exists()
    for partial in tmp_path.glob("*.partial"):
        assert signal_name == "SIGKILL", partial

    second = slow(0, *flags, "--resume")
    assert second.wait() == 0
    assert {name: (tmp_path / name).read_bytes() for name in names} == whole
    paid = (tmp_path / "paid").read_text().splitlines()
    again = len(paid) - 40
    assert 0 <= again <= max(8, done_before // 2)
    if signal_name == "SIGINT" and not flags:
        assert again == 0
    assert not (tmp_path / "out.zst.journal").exists()


def wait_for(path: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupted_run_is_not_overwritten_unasked(slow, tmp_path):
    first = slow(0.2)
    wait_for(tmp_path / "paid", lines=3)
    first.terminate()
    assert first.wait() != 0
    again = slow(0)
    assert again.wait() == 1  # the error itself: this script has no main() to word it
    assert b"continue with --resume, or remove it" in again.stderr.read()


def test_resuming_with_another_input_is_an_error(slow, tmp_path):
    first = slow(0.2)
    wait_for(tmp_path / "paid", lines=3)
    first.terminate()
    first.wait()
    (tmp_path / "in.jsonl").write_text('{"id":"other","n":1}\n')
    again = slow(0, "--resume")
    assert again.wait() == 1
    assert b"of the input has changed" in again.stderr.read()


def test_concurrency_keeps_the_order_and_bounds_what_is_read_ahead(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id":"{i}"}}\n' for i in range(100)))
    run = stage.Run("test", [str(tmp_path / "in.jsonl")], None)
    ahead = []

    def work(record):
        time.sleep(0.002 if int(record["id"]) % 2 else 0)
        return record

    with run:
        for number, record in enumerate(stage.each(run, work, concurrency=4)):
            assert record["id"] == str(number)
            ahead.append(run.read - number)
    assert max(ahead) <= 8


def test_what_is_neither_kept_nor_rejected_is_a_bug_and_is_found(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n{"id":"b"}\n')
    with (
        pytest.raises(AssertionError, match="2 read, but 1"),
        stage.Run(
            "test", [str(tmp_path / "in.jsonl")], str(tmp_path / "out"), conserves=True
        ) as run,
    ):
        run.write(list(run)[:1])
    assert not (tmp_path / "out").exists()


def test_a_crash_in_a_stage_leaves_no_output(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n')
    with (
        pytest.raises(ZeroDivisionError),
        stage.Run("test", [str(tmp_path / "in.jsonl")], str(tmp_path / "out")) as run,
    ):
        run.write(stage.annotate(run, lambda record: 1 / 0))  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_makes_no_sense_is_refused(shard):
    with pytest.raises(UserError, match="expected I/N"):
        stage.parse_shard(shard)


def test_a_record_too_deep_to_write_stops_or_is_put_aside(tmp_path):
    deep: list = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(UserError, match="nested deeper"):
        jsonl.encode({"id": "x", "deep": deep})


def test_keep_counts_reasons_and_writes_them(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a","n":1}\n{"id":"b","n":2}\n')
    rejects = tmp_path / "rejects.jsonl"
    with stage.Run(
        "test",
        [str(tmp_path / "in.jsonl")],
        str(tmp_path / "out"),
        rejects=str(rejects),
        plain=True,
        conserves=True,
    ) as run:
        run.write(stage.keep(run, lambda r: stage.Drop("odd", "so odd") if r["n"] % 2 else None))
    assert dict(run.reasons) == {"odd": 1}
    assert orjson.loads(rejects.read_bytes())["reject"] == {
        "stage": "test",
        "reason": "odd",
        "detail": "so odd",
    }


@pytest.mark.parametrize("end", ["error", "kill"])
def test_a_run_without_results_leaves_no_journal_that_blocks_the_corrected_one(tmp_path, end):
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n')
    paths = str(tmp_path / "in.jsonl"), str(tmp_path / "out")
    first = stage.Run("test", [paths[0]], paths[1], journal=True, config={"model": "wrong"})
    if end == "error":
        with pytest.raises(ZeroDivisionError), first:
            first.write(stage.annotate(first, lambda record: 1 / 0))  # type: ignore[arg-type]
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    else:  # as `kill -9` leaves it
        assert (tmp_path / "out.journal").exists()
        assert first._output and first.journal
        first._output.abort()
        first.journal._file.close()
    with stage.Run("test", [paths[0]], paths[1], journal=True, config={"model": "right"}) as second:
        second.write(stage.annotate(second, lambda record: {**record, "n": 1}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]
