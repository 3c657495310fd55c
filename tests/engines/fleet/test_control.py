"""Replicas behind one address as a policy: see client_contract.py; and what becomes of those that are killed.

TEST_KILLS=20 kills as often while weights change.
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
    test_a_conversation_goes_on_without_tokenising_again,
    test_a_folder_that_cannot_be_loaded_changes_nothing,
    test_a_wrong_prompt_is_refused_before_it_is_sent,
    test_an_order_waits_for_no_slot_of_those_that_wait_for_it,
    test_samples_and_scores_are_those_of_transformers,
    test_updates_under_load_leave_every_answer_to_one_version,
    test_what_is_asked_while_it_is_paused_is_answered_after,
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


def whole(engine, gone=(), seconds=60):
    """The replicas, once two are up of which none is `gone`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = replicas(engine)
        pids = {each["pid"] for each in found}
        if len(found) == 2 and not pids & {*gone}:
            return found
        time.sleep(0.05)
    raise AssertionError("a replica did not come back")


def test_the_endpoint_says_what_it_carries_out(engine, fleet):
    facts = probe.probe(engine.endpoint)
    assert {"weights", "pause", "sleep", "replicas"} <= {*facts["capabilities"]}
    assert (facts["weight_version"], fleet.facts["weight_version"]) == ("default", "default")
    assert {*fleet.facts["capabilities"]} == {*facts["capabilities"]}


def test_one_that_is_started_again_has_the_weights_of_the_others(engine, folders):
    before = engine.prompt_logprobs(PROMPT).result()
    engine.load_weights(folders["other"], "step-1")
    after = engine.prompt_logprobs(PROMPT).result()
    assert after.weight_version == "step-1" and after.logprobs != before.logprobs
    for victim in replicas(engine):
        os.kill(victim["pid"], signal.SIGKILL)
        found = whole(engine, gone=[victim["pid"]])
        for each in found:
            with connect(each["endpoint"], folders["other"]) as one:
                assert (
                    one.weight_version == "step-1" and one.prompt_logprobs(PROMPT).result() == after
                )
    engine.load_weights(folders["one"], "default")
    assert engine.prompt_logprobs(PROMPT).result() == before


def test_an_order_that_finds_nobody_is_refused(engine, folders):
    gone = [each["pid"] for each in whole(engine)]
    for pid in gone:
        os.kill(pid, signal.SIGKILL)
    while replicas(engine):
        time.sleep(0.01)
    with pytest.raises(EndpointError, match="no replica is up"):
        engine.load_weights(folders["other"], "nobody")
    whole(engine, gone)
    assert engine.prompt_logprobs(PROMPT).result().weight_version == engine.weight_version


def test_kills_while_weights_change_leave_all_with_the_last_ones(engine, folders):
    after = {}
    for name in ("other", "one"):
        started = time.monotonic()
        engine.load_weights(folders[name], name)
        took = time.monotonic() - started
        after[name] = engine.prompt_logprobs(PROMPT).result()
    moments = random.Random(0)
    for number in range(KILLS):
        if number > 2:
            time.sleep(STEADY_SECONDS)  # else each start waits longer than the last
        name = ("other", "one")[number % 2]
        victim = moments.choice(whole(engine))["pid"]
        killing = threading.Timer(took * moments.random(), os.kill, (victim, signal.SIGKILL))
        killing.start()
        engine.load_weights(folders[name], name)
        killing.join()
        assert engine.prompt_logprobs(PROMPT).result() == after[name]
        for each in whole(engine, gone=[victim]):
            with connect(each["endpoint"], folders[name]) as one:
                assert one.prompt_logprobs(PROMPT).result() == after[name]
    engine.load_weights(folders["one"], "default")


def test_one_that_is_started_again_sleeps_while_the_others_do(engine):
    sampling = SamplingParams(max_tokens=2, seed=1)
    before = engine.generate(PROMPT, sampling).result()
    engine.sleep()
    victim = replicas(engine)[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    for each in whole(engine, gone=[victim]):
        with connect(each["endpoint"], engine.folder) as one:
            asked = one.generate(PROMPT, sampling)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.5)
    engine.wake()
    for each in whole(engine):
        with connect(each["endpoint"], engine.folder) as one:
            assert one.generate(PROMPT, sampling).result() == before


@pytest.mark.engines
@pytest.mark.parametrize("backend", ["vllm", "sglang"])
def test_an_engine_that_is_killed_after_an_update_comes_back_with_it(
    folders, reference, tmp_path, monkeypatch, backend
):
    """Of new weights under load, a kill, and the numbers of both replicas after it."""
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
            at = whole(engine, gone=[victim["pid"]], seconds=180)
        prompt, inputs = prompt_of(reference, "one image")
        theirs = Reference(folders["other"])
        for each in at:
            with connect(each["endpoint"], folders["other"]) as one:
                said = one.generate(prompt, SamplingParams(max_tokens=12, seed=1)).result()
            assert [version for version, *_ in said.weight_versions] == ["step-1"]
            assert difference(theirs, inputs, said.token_ids, said.logprobs)[0] <= TOLERANCE
    finally:
        assert running.stop() == 143


class Elsewhere(Replica):
    """A replica that somebody else started."""

    def __init__(self, number, endpoint):
        super().__init__(number, [], {}, Path())
        self.facts, self.is_prepared = {"endpoint": endpoint}, True
        self.signals = []

    def status(self):
        return None

    def signal(self, number):
        self.signals.append(number)


def test_one_that_does_not_take_what_another_took_is_started_again(folders):
    server = Served(folders["one"], "--port", 0)
    told = []
    try:
        with FakeEndpoint(lambda body, attempt: completion("x")) as fake:
            sound, spoilt = Elsewhere(0, server.url), Elsewhere(1, fake.url)
            both = control.FleetControl(folders["one"], [sound, spoilt], told.append)
            asyncio.run(both.load_weights(folders["other"], "new"))
            assert (both.folder, both.weight_version) == (folders["other"], "new")
            assert (sound.signals, spoilt.signals) == ([], [signal.SIGKILL])
            assert told == [
                f"replica 1: {fake.url}: it does not take token ids; qvl serve, vLLM and SGLang do"
            ]
            alone = control.FleetControl(folders["one"], [Elsewhere(0, fake.url)], told.append)
            with pytest.raises(UserError, match="does not take token ids"):
                asyncio.run(alone.load_weights(folders["other"], "new"))
            assert alone.weight_version == "default"
    finally:
        server.stop()
