"""What a server is, by routes whose answers may be anything."""

import random

import fuzzed
import pytest

from qvl.engines import client, probe
from qvl.errors import EndpointError, UserError

SOUND = {
    "/v1/models": {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 8}]},
    "/openapi.json": {"paths": {"/inference/v1/generate": {}, "/version": {}, "/weight_info": {}}},
    "/version": {"version": "1"},
    "/weight_info": {"weight_version": "2"},
}


def answering(monkeypatch, answers):
    def get(url, **_):
        return answers.get(url.removeprefix("http://x"))

    monkeypatch.setattr(probe, "_get", get)


def test_odd_answers_are_facts_that_are_not_known(monkeypatch):
    answering(monkeypatch, SOUND)
    found = probe.probe("http://x")
    assert (found["backend"], found["models"], found["max_model_len"]) == ("vllm", ["m"], 8)
    assert (found["version"], found["weight_version"]) == ("1", "2")
    choose = random.Random(23)
    for _ in range(500):
        answering(
            monkeypatch,
            answers if isinstance(answers := fuzzed.altered(SOUND, choose), dict) else {},
        )
        try:
            found = probe.probe("http://x")
        except EndpointError as error:
            assert "shape" in str(error)
        else:
            assert all(isinstance(name, str) for name in found["models"])
            assert found["max_model_len"] is None or isinstance(found["max_model_len"], int)


def test_a_server_without_a_model_is_one_line(monkeypatch, tmp_path):
    answering(monkeypatch, {**SOUND, "/v1/models": {"data": [{"owned_by": "vllm"}]}})
    with pytest.raises(UserError, match="serves no model"):
        client.connect("http://x", tmp_path)
