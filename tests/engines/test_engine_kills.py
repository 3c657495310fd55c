"""kill -9 at any moment of `qvl generate` on real engines: of the client, of the engine, of a replica.

The engines compute in fp64, where an answer does not depend on what is computed beside it, so all of
it ends in the bytes of a run that nobody disturbed, log-probs included. TEST_KILLS=20 kills as often.
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
PATIENT = ("--retries", "12")  # the wait for an engine that starts


class Run:
    """A `qvl generate` under way."""

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


class Engine(Running):
    """In fp64; it is stopped where the `with` ends, if it is still there."""

    def __init__(self, twin, log, *words):
        super().__init__(log, twin, "--dtype", "float64", *words, OMP_NUM_THREADS="1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


@pytest.fixture(scope="module")
def undisturbed(twin, tmp_path_factory):
    """What is asked, what comes of it, and in how many seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    asked = (
        {"id": f"r{i}", "messages": [{"role": "user", "content": "What? " * (1 + i % 40)}]}
        for i in range(RECORDS)
    )
    jsonl.write(asked, str(folder / "in.jsonl"), plain=True)
    with Engine(twin, folder / "log", "--port", 0) as engine:
        started = time.monotonic()
        run = Run(folder, engine.url)
        assert run.process.wait(600) == 0, run.log.read_text()
        return folder, time.monotonic() - started


@pytest.fixture
def folder(undisturbed, tmp_path):
    (tmp_path / "in.jsonl").symlink_to(undisturbed[0] / "in.jsonl")
    return tmp_path


def moments(run, undisturbed):
    """KILLS of them, at which the run is still under way."""
    draw, seen = random.Random(KILLS), 0
    for _ in range(KILLS):
        time.sleep(draw.uniform(0, undisturbed[1] / KILLS / 2))
        if run.process.poll() is not None:
            break
        yield
        seen += 1
    assert seen > KILLS // 4  # the machine may have become faster meanwhile


def check(run, folder, undisturbed):
    assert run.process.wait(600) == 0, run.log.read_text()
    assert (folder / "out.jsonl").read_bytes() == (undisturbed[0] / "out.jsonl").read_bytes()


def test_a_client_that_is_killed_and_resumed_ends_in_the_same_bytes(twin, folder, undisturbed):
    with Engine(twin, folder / "log", "--port", 0) as engine:
        run = Run(folder, engine.url, "--resume")
        for _ in moments(run, undisturbed):
            run.process.kill()
            run.process.wait()
            run.start()
        check(run, folder, undisturbed)


def test_an_engine_that_is_killed_and_started_again_changes_no_byte(twin, folder, undisturbed):
    with contextlib.ExitStack() as engines:
        engine = engines.enter_context(Engine(twin, folder / "log", "--port", 0))
        port = engine.url.rpartition(":")[2]
        run = Run(folder, engine.url, *PATIENT)
        for _ in moments(run, undisturbed):
            engine.process.kill()
            engine.process.wait()
            engine = engines.enter_context(Engine(twin, folder / "log", "--port", port))
        check(run, folder, undisturbed)


def test_replicas_that_are_killed_one_after_the_other_change_no_byte(twin, folder, undisturbed):
    ready = folder / "ready.json"
    words = ("--port", 0, "--replicas", 2, "--ready-file", ready)
    with Engine(twin, folder / "log", *words) as engine:
        run = Run(folder, engine.url, *PATIENT)
        for number, _ in enumerate(moments(run, undisturbed)):
            replicas = json.loads(ready.read_text())["replicas"]
            with contextlib.suppress(ProcessLookupError):  # the one that was killed just before
                os.kill(replicas[number % len(replicas)]["pid"], signal.SIGKILL)
        check(run, folder, undisturbed)
