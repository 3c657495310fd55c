"""`qvl serve` as a process: ready, signals, errors, and the command that it serves."""

import json
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file
from served import Served
from shells import shell

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.serving import launch, server
from qvl.engines.serving.launch import LaunchOptions
from qvl.errors import UserError


@pytest.fixture
def run(tmp_path, twin):
    """Run a shell line in a folder that holds `twin`."""
    (tmp_path / "twin").symlink_to(twin)
    line = shell(tmp_path)
    return lambda words, **env: line(words, OMP_NUM_THREADS="1", **env)


@pytest.fixture
def broken(tmp_path, twin):
    """A folder `broken` whose weights cannot be loaded."""
    shutil.copytree(twin, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")


def test_weights_that_cannot_be_loaded_are_told(run, broken):
    done = run("qvl serve broken --port 0")
    assert done.returncode != 0 and "broken" in done.stderr


def test_a_json_line_and_a_file_hold_the_endpoint_until_the_server_stops(twin, tmp_path):
    """Other machines can reach it, with a key."""
    ready = tmp_path / "ready.json"
    words = ("--host", "0.0.0.0", "--port", 0, "--ready-file", ready, "--served-model-name", "tiny")
    server = Served(twin, *words, QVL_API_KEY="k-secret")
    assert json.loads(ready.read_text()) == server.facts
    assert (server.facts["model"], server.facts["weight_version"]) == ("tiny", "default")
    assert server.facts["threads"] == 1
    assert {"chat", "token_ids", "weights", "pause"} <= {*server.facts["capabilities"]}
    assert get(server.url + "/health") == 200
    assert get(server.url + "/v1/models") == 401
    assert get(server.url + "/v1/models", Authorization="Bearer wrong") == 401
    assert get(server.url + "/v1/models", Authorization="Bearer k-secret") == 200
    status, errors = server.stop(signal.SIGINT)
    assert (status, errors.splitlines()) == (130, [f"qvl serve: tiny at {server.url}, 1 thread"])
    assert not ready.exists()


def test_the_number_of_threads_is_chosen_or_given_and_told(run):
    done = run("qvl serve twin --port 0 --threads 2 -- true")
    assert (done.returncode, done.stderr.count(", 2 threads")) == (0, 1)
    done = run("qvl serve twin --backend vllm --threads 2")
    assert (done.returncode, "--threads needs --backend local" in done.stderr) == (2, True)


def get(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_server_that_other_machines_can_reach_needs_a_key(run):
    done = run("qvl serve twin --port 0 --host 0.0.0.0")
    assert done.returncode == 2
    assert "QVL_API_KEY" in done.stderr


def test_sigterm_under_load_stops_soon_with_an_error_for_the_clients(twin):
    server = Served(twin, "--port", 0)
    outcome = []

    def ask():
        messages = [{"role": "user", "content": "x"}]
        body = json.dumps({"messages": messages, "n": 64, "max_tokens": 2000}).encode()
        try:
            urllib.request.urlopen(server.url + "/v1/chat/completions", body)
        except urllib.error.HTTPError as error:
            outcome.append((error.code, json.loads(error.read())["error"]["message"]))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    assert server.stop(signal.SIGTERM)[0] == 143
    thread.join()
    assert outcome == [(503, "the server is stopping")]


def test_a_port_in_use_is_reported_before_the_model_is_loaded(run, broken):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run(f"qvl serve broken --port {port}")
    assert done.returncode == 2
    assert done.stderr == (
        f"qvl: error: 127.0.0.1:{port}: Address already in use; --port 0 picks a free port\n"
    )


def test_a_folder_without_a_checkpoint_is_refused_in_one_line(run):
    done = run("qvl serve . --port 0")
    assert done.returncode == 2
    assert done.stderr == "qvl: error: .: not a checkpoint: config.json not found\n"


def test_an_unknown_dtype_is_refused(run):
    done = run("qvl serve . --port 0 --dtype fp8")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    options = LaunchOptions(host="", port=0, name="", max_batch=1, dtype="float64")
    with pytest.raises(UserError, match="use --backend local"):
        launch.dtype_flags(options, "cpu")
    assert launch.dtype_flags(replace(options, dtype="auto"), "cpu") == ["--dtype", "float32"]
    assert launch.dtype_flags(replace(options, dtype="auto"), "cuda") == []


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "not a JSON object"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'),
            "'x': expected qwen3_vl",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot load its weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot load its weig"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "no chat template"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot load its tokenizer"),
    ],
    ids=["no JSON", "another model", "no weights", "truncated", "no template", "no tokenizer"],
)
def test_a_corrupted_checkpoint_is_refused_with_what_is_wrong(tmp_path, twin, corrupt, message):
    shutil.copytree(twin, tmp_path / "bad")
    corrupt(tmp_path / "bad")
    with pytest.raises(UserError, match=message):
        Checkpoint(tmp_path / "bad")


def test_missing_weights_are_an_error(tmp_path, twin):
    shutil.copytree(twin, tmp_path / "bad")
    weights = load_file(tmp_path / "bad" / "model.safetensors")
    weights.pop("model.language_model.layers.1.mlp.up_proj.weight")
    save_file(weights, tmp_path / "bad" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        Checkpoint(tmp_path / "bad")


def test_a_command_is_served_as_long_as_it_runs_and_gives_the_exit_status(run):
    done = run(
        "qvl serve twin --port 0 -- sh -c 'test $QVL_ENDPOINT = {endpoint} && "
        "curl -sf {endpoint}/v1/models && echo {endpoint} > url; kill -9 $$'"
    )
    assert done.returncode == 128 + 9
    assert json.loads(done.stdout)["data"][0]["id"] == "twin"
    assert (
        run("curl -sf $(cat url)/health").returncode == 7
    )  # curl's status for a refused connection


def test_an_unknown_command_is_reported_before_the_model_is_loaded(run, broken):
    done = run("qvl serve broken --port 0 -- no-such-command")
    assert done.returncode == 2
    assert done.stderr == "qvl: error: no-such-command: command not found\n"


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("INT", 130)])
def test_a_signal_stops_the_command_too(run, name, status):
    done = run(
        "qvl serve twin --port 0 -- sh -c 'echo $$ > pid; exec sleep 60' & server=$!; "
        f"until test -s pid; do sleep 0.1; done; kill -{name} $server; wait $server; status=$?; "
        "kill -0 $(cat pid) 2>/dev/null && echo alive; exit $status"
    )
    assert (done.returncode, done.stdout) == (status, "")


def test_a_port_that_is_held_for_an_engine_is_given_to_nobody_else():
    """vLLM binds its port a minute after its start on a busy machine; a client once had it by then."""
    with server.bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as engine, socket.socket() as client:  # as asyncio and vLLM bind it
            engine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            engine.bind(("127.0.0.1", port))
            engine.listen()
            client.connect(("127.0.0.1", port))
