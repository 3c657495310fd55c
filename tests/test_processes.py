"""--jobs: work in processes gives what work in one gives, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from qvl import stage
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.processes import ProcessDied, Worker, ordered

COUNT = 1000


def square(record):
    """A stage's work, which must be a module's for other processes to find."""
    if record["n"] == 500 and "bad" in record:
        raise UserError("500 is not liked") if record["bad"] == "user" else KeyError("a bug")
    if record["n"] == 500 and "die" in record:
        os.kill(os.getpid(), signal.SIGKILL)
    if record["n"] % 7 == 3:
        return stage.Drop("third", f"{record['n']}")
    print("what a function prints is no reply")
    return {**record, "square": record["n"] ** 2, "process": os.getpid()}


def records(**fields):
    return [{"id": f"r{n}", "n": n, **fields} for n in range(COUNT)]


def run_of(folder, **options):
    jsonl.write(records(**options.pop("fields", {})), str(folder / "in.zst"))
    files = {"rejects": str(folder / "rejects.zst"), "conserves": True}
    return stage.Run(
        "square", [str(folder / "in.zst")], str(folder / "out.zst"), **files, **options
    )


def test_the_order_is_kept_and_several_processes_work(tmp_path):
    with run_of(tmp_path) as run:
        run.write(stage.each(run, square, jobs=3))
    kept = list(jsonl.read(str(tmp_path / "out.zst")))
    assert [one["n"] for one in kept] == [n for n in range(COUNT) if n % 7 != 3]
    assert all(one["square"] == one["n"] ** 2 for one in kept)
    assert 1 < len({one["process"] for one in kept}) <= 3
    dropped = list(jsonl.read(str(tmp_path / "rejects.zst")))
    assert [one["n"] for one in dropped] == [n for n in range(COUNT) if n % 7 == 3]


def test_an_error_comes_up_where_its_record_is(tmp_path):
    seen = []
    with pytest.raises(UserError, match="500 is not liked"):
        for record, _ in ordered(((one, None) for one in records(bad="user")), square, 2):
            seen.append(record["n"])
    assert seen == list(range(500))


def test_a_bug_keeps_the_traceback_of_its_process():
    with pytest.raises(KeyError) as caught:
        list(ordered(((one, None) for one in records(bad="bug")), square, 2))
    assert "in square" in "".join(caught.value.__notes__)


def test_a_process_that_is_killed_is_told_in_one_line():
    with pytest.raises(UserError, match="--jobs: a process ended with status -9"):
        list(ordered(((one, None) for one in records(die=1)), square, 2))


def test_a_journal_is_resumed_with_another_number_of_jobs(tmp_path):
    with pytest.raises(ZeroDivisionError), run_of(tmp_path, journal=True) as run:
        for number, record in enumerate(stage.each(run, square, jobs=2)):
            run.put(record)
            if number == 400:
                raise ZeroDivisionError
    with run_of(tmp_path, journal=True, resume=True) as run:
        run.write(stage.each(run, square, jobs=3))
    assert run.journal and run.journal.replayed > 400
    kept = [one["n"] for one in jsonl.read(str(tmp_path / "out.zst"))]
    assert kept == [n for n in range(COUNT) if n % 7 != 3]


def test_a_slow_stream_is_not_held_up():
    def slow():
        for record in records()[:12]:
            taken.append(record["n"])
            yield record, None
            time.sleep(0.3)

    taken, lag = [], []
    for record, _ in ordered(slow(), square, 2):
        lag.append(taken[-1] - record["n"])
    assert 1 in lag, "each waits for the next one at most, once the processes have started"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_process_outlives_a_command_that_is_stopped(tmp_path, name):
    script = """
        import sys, time
        from qvl.cli.session import session
        from qvl.cli.main import _terminate
        from qvl import stage
        import signal, slow_work
        signal.signal(signal.SIGTERM, _terminate)
        with session("slow", ["in.zst"], "out.zst") as run:
            run.write(stage.each(run, slow_work.work, jobs=2))
    """
    work = """
        import os, time
        def work(record):
            open(f"pid-{os.getpid()}", "w").close()
            time.sleep(0.01)
            return record
    """
    (tmp_path / "slow.py").write_text(textwrap.dedent(script))
    (tmp_path / "slow_work.py").write_text(textwrap.dedent(work))
    jsonl.write(records(), str(tmp_path / "in.zst"))
    process = subprocess.Popen(
        [sys.executable, "slow.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    _until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    process.send_signal(getattr(signal, name))
    told = process.communicate(timeout=30)[1]
    pids = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert not (tmp_path / "out.zst").exists()
    assert "in work\n" not in told  # no traceback of a process


def _until(condition, seconds=30):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_who_waits_for_a_process_is_released_when_all_are_ended():
    from qvl.processes import Pool

    sleep: Any = time.sleep
    with Pool(sleep, 1) as processes:
        first = threading.Thread(target=processes, args=([60],), daemon=True)
        second = threading.Thread(target=processes, args=([60],), daemon=True)
        first.start()
        second.start()
        time.sleep(0.3)
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()


def work(what):
    """A worker's function."""
    if what == "sleep":
        time.sleep(60)
    if what == "die":
        os._exit(3)
    if what == "raise":
        raise KeyError("a bug")
    if what == "lambda":
        return lambda: None
    return os.getpid()


def test_a_worker_serves_many_calls_and_another_one_follows_one_that_was_killed():
    worker = Worker(work)
    try:
        first = worker(None, "pid")
        assert worker(5, "pid") == first != os.getpid()
        with pytest.raises(KeyError, match="a bug"):
            worker(5, "raise")
        with pytest.raises(RuntimeError, match="cannot leave its process"):
            worker(5, "lambda")
        assert worker(5, "pid") == first
        with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
            worker(0.2, "sleep")
        with pytest.raises(ProcessDied, match="its process ended with status 3"):
            worker(5, "die")
        assert worker(5, "pid") != first
    finally:
        worker.kill()


def test_a_worker_s_preparation_may_fail_and_says_why():
    def start(prepare):
        worker = Worker(work, prepare=prepare)
        worker.start()
        return worker(5, "pid")

    assert start(None) > 0
    with pytest.raises(UserError, match="not installed"):
        start(unprepared)


def unprepared():
    raise UserError("not installed")


def test_a_worker_that_was_started_in_a_thread_outlives_it():
    worker = Worker(work)
    thread = threading.Thread(target=worker, args=(5, "pid"))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert worker(5, "pid") > 0
    worker.kill()
