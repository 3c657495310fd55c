"""kill -9 at any moment of `qvl generate` on real engines: of the client, the engine, a replica.

The engines compute in fp64, where a completion does not depend on the rest of the batch, so every run
ends with the bytes of an undisturbed one, log-probs included. TEST_KILLS=20 kills 20 times.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import time

import pytest
from running import BIN, KEY, Running

from qvl.io import jsonl

KILLS = int(os.environ.get("TEST_KILLS", "2"))
RECORDS = 40 * KILLS
WORDS = "generate -n 2 --max-tokens 40 --token-ids --logprobs --concurrency 8 --plain"
WORDS += " in.jsonl -o out.jsonl"
PATIENT = ("--retries", "12")  # it waits for an engine that starts


class Run:
    """A `qvl generate` in progress."""

    def __init__(self, folder, url, *words):
        self.folder, self.url, self.words = folder, url, words
        self.log = folder / "generate.log"
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [BIN / "qvl", *WORDS.split(), *self.words],
                cwd=self.folder,
                stderr=log,
                env={**os.environ, "QVL_ENDPOINT": self.url, "QVL_API_KEY": KEY},
            )


class Fp64Engine(Running):
    """The local engine in fp64, stopped at the end of a `with` unless it was killed."""

    def __init__(self, twin, log, *words):
        super().__init__(log, twin, "--dtype", "float64", *words, OMP_NUM_THREADS="1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            assert self.stop() == 143


@pytest.fixture(scope="module")
def engine(twin, tmp_path_factory):
    """One that is not killed."""
    with Fp64Engine(twin, tmp_path_factory.mktemp("engine") / "log", "--port", 0) as engine:
        yield engine


@pytest.fixture(scope="module")
def undisturbed(engine, tmp_path_factory):
    """The folder of the records and of an undisturbed run, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    records = (
        {"id": f"r{i}", "messages": [{"role": "user", "content": "What? " * (1 + i % 40)}]}
        for i in range(RECORDS)
    )
    jsonl.write(records, str(folder / "in.jsonl"), plain=True)
    started = time.monotonic()
    run = Run(folder, engine.url)
    assert run.process.wait(600) == 0, run.log.read_text()
    return folder, time.monotonic() - started


@pytest.fixture
def folder(undisturbed, tmp_path):
    (tmp_path / "in.jsonl").symlink_to(undisturbed[0] / "in.jsonl")
    return tmp_path


def moments(run, undisturbed):
    """Yields KILLS times while the run is in progress."""
    draw, seen = random.Random(KILLS), 0
    for _ in range(KILLS):
        time.sleep(draw.uniform(0, undisturbed[1] / KILLS / 2))
        if run.process.poll() is not None:
            break
        yield
        seen += 1
    assert seen > KILLS // 4  # the machine may be faster than in the undisturbed run


def check(run, folder, undisturbed):
    assert run.process.wait(600) == 0, run.log.read_text()
    assert (folder / "out.jsonl").read_bytes() == (undisturbed[0] / "out.jsonl").read_bytes()


def test_a_client_that_is_killed_and_resumed_ends_in_the_same_bytes(engine, folder, undisturbed):
    run = Run(folder, engine.url, "--resume")
    for _ in moments(run, undisturbed):
        run.process.kill()
        run.process.wait()
        run.start()
    check(run, folder, undisturbed)


def test_an_engine_that_is_killed_and_restarted_changes_no_byte(twin, folder, undisturbed):
    with contextlib.ExitStack() as engines:
        engine = engines.enter_context(Fp64Engine(twin, folder / "log", "--port", 0))
        port = engine.url.rpartition(":")[2]
        run = Run(folder, engine.url, *PATIENT)
        for _ in moments(run, undisturbed):
            engine.process.kill()
            engine.process.wait()
            engine = engines.enter_context(Fp64Engine(twin, folder / "log", "--port", port))
        check(run, folder, undisturbed)


def test_replicas_that_are_killed_one_after_the_other_change_no_byte(twin, folder, undisturbed):
    ready = folder / "ready.json"
    words = ("--port", 0, "--replicas", 2, "--ready-file", ready)
    with Fp64Engine(twin, folder / "log", *words) as engine:
        run = Run(folder, engine.url, *PATIENT)
        for number, _ in enumerate(moments(run, undisturbed)):
            replicas = json.loads(ready.read_text())["replicas"]
            with contextlib.suppress(ProcessLookupError):  # the one that was killed just before
                os.kill(replicas[number % len(replicas)]["pid"], signal.SIGKILL)
        check(run, folder, undisturbed)
