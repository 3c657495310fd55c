"""The client of several replicas, see client_contract.py, and replicas that are killed.

TEST_KILLS=20 kills 20 times while weights change.
"""

import asyncio
import json
import os
import random
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from client_contract import (  # noqa: F401 - tests, with the fixtures of this file
    prompt_of,
    test_a_command_does_not_wait_for_requests_that_wait_for_it,
    test_a_conversation_continues_without_tokenising_again,
    test_a_folder_that_cannot_be_loaded_changes_nothing,
    test_a_wrong_prompt_is_refused_before_it_is_sent,
    test_log_probs_are_those_of_transformers,
    test_requests_during_a_pause_are_answered_after_it,
    test_updates_under_load_leave_one_version_per_completion,
)
from fake_endpoint import FakeEndpoint, completion
from running import KEY, TOLERANCE, Reference, Running, difference
from served import Served

from qvl.engines import probe
from qvl.engines.client import connect
from qvl.engines.fleet import control
from qvl.engines.fleet.replica import STEADY_SECONDS, Replica
from qvl.engines.tokens import SamplingParams, TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.tiny import model

KILLS = int(os.environ.get("TEST_KILLS", "2"))
PROMPT = TokensPrompt([1, 2, 3, 4])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("checkpoints")
    for seed, name in enumerate(("one", "other")):
        (parent / name).mkdir()
        model.write(parent / name, "xs", moe=False, thinking=False, seed=seed)
    return {name: parent / name for name in ("one", "other")}


@pytest.fixture(scope="module")
def fleet(folders):
    server = Served(folders["one"], "--replicas", 2, "--port", 0)
    yield server
    status, errors = server.stop()
    assert status == 143 and "Traceback" not in errors


@pytest.fixture(scope="module")
def engine(fleet, folders):
    with connect(fleet.url, folders["one"]) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(folders):
    return Reference(folders["one"])


def replicas(engine):
    headers = {"Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(engine.endpoint + "/replicas", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["replicas"]


def both_up(engine, gone=(), seconds=60):
    """The replicas, once two are up and none of them is in `gone`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = replicas(engine)
        pids = {each["pid"] for each in found}
        if len(found) == 2 and not pids & {*gone}:
            return found
        time.sleep(0.05)
    raise AssertionError("a replica did not come back")


def test_the_endpoint_reports_its_capabilities(engine, fleet):
    facts = probe.probe(engine.endpoint)
    assert {"weights", "pause", "sleep", "replicas"} <= {*facts["capabilities"]}
    assert (facts["weight_version"], fleet.facts["weight_version"]) == ("default", "default")
    assert {*fleet.facts["capabilities"]} == {*facts["capabilities"]}


def test_a_restarted_replica_has_the_weights_of_the_others(engine, folders):
    before = engine.prompt_logprobs(PROMPT).result()
    engine.load_weights(folders["other"], "step-1")
    after = engine.prompt_logprobs(PROMPT).result()
    assert after.weight_version == "step-1" and after.logprobs != before.logprobs
    for victim in replicas(engine):
        os.kill(victim["pid"], signal.SIGKILL)
        found = both_up(engine, gone=[victim["pid"]])
        for each in found:
            with connect(each["endpoint"], folders["other"]) as one:
                assert (
                    one.weight_version == "step-1" and one.prompt_logprobs(PROMPT).result() == after
                )
    engine.load_weights(folders["one"], "default")
    assert engine.prompt_logprobs(PROMPT).result() == before


def test_an_update_without_a_replica_that_is_up_is_refused(engine, folders):
    gone = [each["pid"] for each in both_up(engine)]
    for pid in gone:
        os.kill(pid, signal.SIGKILL)
    while replicas(engine):
        time.sleep(0.01)
    with pytest.raises(EndpointError, match="no replica is up"):
        engine.load_weights(folders["other"], "nobody")
    both_up(engine, gone)
    assert engine.prompt_logprobs(PROMPT).result().weight_version == engine.weight_version


def test_after_kills_during_updates_all_have_the_last_weights(engine, folders):
    after = {}
    for name in ("other", "one"):
        started = time.monotonic()
        engine.load_weights(folders[name], name)
        took = time.monotonic() - started
        after[name] = engine.prompt_logprobs(PROMPT).result()
    moments = random.Random(0)
    for number in range(KILLS):
        if number > 2:
            time.sleep(STEADY_SECONDS)  # else the delay of each restart doubles
        name = ("other", "one")[number % 2]
        victim = moments.choice(both_up(engine))["pid"]
        killing = threading.Timer(took * moments.random(), os.kill, (victim, signal.SIGKILL))
        killing.start()
        engine.load_weights(folders[name], name)
        killing.join()
        assert engine.prompt_logprobs(PROMPT).result() == after[name]
        for each in both_up(engine, gone=[victim]):
            with connect(each["endpoint"], folders[name]) as one:
                assert one.prompt_logprobs(PROMPT).result() == after[name]
    engine.load_weights(folders["one"], "default")


def test_a_restarted_replica_sleeps_like_the_others(engine):
    sampling = SamplingParams(max_tokens=2, seed=1)
    before = engine.generate(PROMPT, sampling).result()
    engine.sleep()
    victim = replicas(engine)[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    for each in both_up(engine, gone=[victim]):
        with connect(each["endpoint"], engine.folder) as one:
            asked = one.generate(PROMPT, sampling)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.5)
    engine.wake()
    for each in both_up(engine):
        with connect(each["endpoint"], engine.folder) as one:
            assert one.generate(PROMPT, sampling).result() == before


@pytest.mark.engines
@pytest.mark.parametrize("backend", ["vllm", "sglang"])
def test_an_engine_that_is_killed_after_an_update_restarts_with_its_weights(
    folders, reference, tmp_path, monkeypatch, backend
):
    """An update under load, a kill, and the log-probs of both replicas after it."""
    monkeypatch.setenv("QVL_API_KEY", KEY)
    words = ("--backend", backend, "--replicas", 2, "--port", 0, "--max-batch", 8)
    running = Running(tmp_path / "log", folders["one"], *words)
    try:
        with connect(running.url, folders["one"]) as engine:
            sampling = [SamplingParams(max_tokens=40, seed=seed) for seed in range(16)]
            asked = [engine.generate(PROMPT, each) for each in sampling]
            engine.load_weights(folders["other"], "step-1")
            asked += [engine.generate(PROMPT, each) for each in sampling]
            found = [each.result().weight_versions for each in asked]
            assert all(len(spans) == 1 for spans in found)
            assert {spans[0][0] for spans in found[16:]} == {"step-1"}
            victim = running.facts["replicas"][0]
            os.kill(victim["engine_pid"], signal.SIGKILL)
            at = both_up(engine, gone=[victim["pid"]], seconds=180)
        prompt, inputs = prompt_of(reference, "one image")
        theirs = Reference(folders["other"])
        for each in at:
            with connect(each["endpoint"], folders["other"]) as one:
                completion = one.generate(prompt, SamplingParams(max_tokens=12, seed=1)).result()
            assert [version for version, *_ in completion.weight_versions] == ["step-1"]
            assert (
                difference(theirs, inputs, completion.token_ids, completion.logprobs)[0]
                <= TOLERANCE
            )
    finally:
        assert running.stop() == 143


class Elsewhere(Replica):
    """A replica with a given endpoint instead of a process."""

    def __init__(self, number, endpoint):
        super().__init__(number, [], {}, Path())
        self.facts, self.is_prepared = {"endpoint": endpoint}, True
        self.signals = []

    def status(self):
        return None

    def signal(self, number):
        self.signals.append(number)


def test_a_replica_that_fails_an_update_that_another_took_is_killed(folders):
    server = Served(folders["one"], "--port", 0)
    reported = []
    try:
        with FakeEndpoint(lambda body, attempt: completion("x")) as fake:
            sound, broken = Elsewhere(0, server.url), Elsewhere(1, fake.url)
            both = control.FleetControl(folders["one"], [sound, broken], reported.append)
            asyncio.run(both.load_weights(folders["other"], "new"))
            assert (both.folder, both.weight_version) == (folders["other"], "new")
            assert (sound.signals, broken.signals) == ([], [signal.SIGKILL])
            assert reported == [
                f"replica 1: {fake.url}: it does not take token ids; qvl serve, vLLM and SGLang do"
            ]
            alone = control.FleetControl(folders["one"], [Elsewhere(0, fake.url)], reported.append)
            with pytest.raises(UserError, match="does not take token ids"):
                asyncio.run(alone.load_weights(folders["other"], "new"))
            assert alone.weight_version == "default"
    finally:
        server.stop()
