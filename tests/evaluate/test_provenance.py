"""What a report says of the servers that made its numbers."""

import json

import pytest

from qvl.engines import probe
from qvl.evaluate import provenance
from qvl.media import processor

MODELS = "/v1/models"


@pytest.fixture
def server(monkeypatch):
    """Answers the routes of any server."""
    routes = {MODELS: {"data": [{"id": "m", "owned_by": "vllm"}]}}

    def get(url, **_):
        return routes.get(url.partition(":8000")[2])

    monkeypatch.setattr(probe, "_get", get)
    return routes


def test_a_report_has_the_limits_of_the_pixels_of_the_local_engine(served, twin, sh, tmp_path):
    asked = [{"role": "user", "content": "What is 1 + 1?"}]
    record = {"id": "a", "task": "math", "answer": "2", "messages": asked}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(record))
    words = "--max-tokens 1 --report r.json -o out.zst tasks.jsonl"
    done = sh(f"qvl eval --endpoint {served.url} {words} && cat r.json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["servers"]
    assert found["processors_from"] == "server"
    limits = json.loads((twin / "preprocessor_config.json").read_text())["size"]
    image = found["processors"]["image"]
    assert (image["min_pixels"], image["max_pixels"]) == (
        limits["shortest_edge"],
        limits["longest_edge"],
    )
    assert (image["patch_size"], image["merge_size"]) == (16, 2)
    assert found["processors"].keys() == {"image", "video"}
    assert found["processors"] == json.loads(json.dumps(processor.known(twin)))


def test_of_an_engine_that_does_not_say_the_folder_tells_on_this_machine_alone(server, twin):
    server[MODELS]["data"][0]["root"] = str(twin)
    (near,) = provenance.of(["http://127.0.0.1:8000"])
    assert near["processors"] == processor.known(twin)
    assert near["processors_from"] == str(twin)
    (far,) = provenance.of(["http://10.0.0.1:8000"])
    assert far["processors"] is None and far["processors_from"] is None


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"patch_size": 16}'])
def test_a_folder_without_settings_is_no_error(server, tmp_path, content):
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    server[MODELS]["data"][0]["root"] = str(tmp_path)
    (found,) = provenance.of(["http://127.0.0.1:8000"])
    assert found["processors"] is None
