"""`qvl serve --replicas`: one endpoint, several engines, and what it does when they are killed."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from fake_endpoint import FakeEndpoint, completion
from ranks import free_port
from running import Running, messages, own_address
from served import BIN, Served
from shells import shell

from qvl.engines.fleet import fleet as fleets
from qvl.engines.fleet import router, serve, supervisor
from qvl.errors import EndpointError, UserError
from qvl.io import jsonl
from qvl.tiny import model

KEY = "k-secret"


class Fleet(Served):
    """Two replicas."""

    def __init__(self, twin: Path, ready_file: Path, *words: str) -> None:
        self.ready_file = ready_file
        all_words = ("--replicas", 2, "--port", 0, "--ready-file", ready_file, *words)
        super().__init__(twin, *all_words, QVL_API_KEY=KEY)

    def now(self) -> dict:
        """What the ready file says, which follows the replicas."""
        return json.loads(self.ready_file.read_text())


@pytest.fixture(scope="module")
def fleet(twin, tmp_path_factory):
    server = Fleet(twin, tmp_path_factory.mktemp("fleet") / "ready.json")
    yield server
    pids = [each["pid"] for each in server.now()["replicas"]]
    status, errors = server.stop(signal.SIGINT)
    assert status == 130
    assert "Traceback" not in errors
    assert not any(alive(pid) for pid in pids)
    assert not server.ready_file.exists()


def alive(pid):
    return Path(f"/proc/{pid}").exists()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def whole(fleet):
    """Wait until both replicas answer: nobody is left of those that were killed."""
    wait_for(lambda: all(alive(each["pid"]) for each in fleet.now()["replicas"]))


def ask(url, path, body=None, key=KEY):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, data, headers), timeout=60
        ) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def chat(**fields):
    return {"messages": [{"role": "user", "content": "hi"}], **fields}


def test_the_line_names_every_replica_and_the_key_guards_all(fleet):
    assert fleet.facts == fleet.now()
    endpoints = [each["endpoint"] for each in fleet.facts["replicas"]]
    assert len({fleet.url, *endpoints}) == 3
    for url in (fleet.url, *endpoints):
        assert ask(url, "/health", key="")[0] == 200
        assert ask(url, "/v1/models", key="wrong")[0] == 401
        assert json.loads(ask(url, "/v1/models")[1])["data"][0]["id"] == "twin"


def test_what_changes_an_engine_is_not_forwarded(fleet):
    for path in ("/collective_rpc", "/metrics", "/v1/../abort_request"):
        status, said = ask(fleet.url, path, {})
        assert (status, "send it to each replica itself" in said.decode()) == (403, True), path


def test_orders_to_all_are_for_this_machine_and_need_the_key(twin, tmp_path):
    """One that is refused leaves the replicas as they are."""
    server = Fleet(twin, tmp_path / "ready.json", "--host", "0.0.0.0")
    update = "/update_weights_from_disk"
    other = tmp_path / "other"
    other.mkdir()
    model.write(other, "s", moe=False, thinking=False, seed=0)
    try:
        far = server.url.replace("127.0.0.1", own_address())
        for path in ("/pause", "/sleep", update):
            assert ask(far, path, {})[0] == 403
            assert ask(server.url, path, {}, key="wrong")[0] == 401
        assert ask(server.url, "/pause")[0] == 405
        for folder, told in (
            (tmp_path / "x", "not a checkpoint"),
            (other, "tensor"),
            (None, "both"),
        ):
            body = {"model_path": folder and str(folder), "weight_version": "1"}
            status, said = ask(server.url, update, body)
            assert (status, told in said.decode()) == (400, True)
        assert server.now() == server.facts
        body = {"model_path": str(twin), "weight_version": "1"}
        assert ask(server.url, update, body)[0] == 200
        assert server.now() == {**server.facts, "weight_version": "1"}
        for path, status in (("/sleep", 200), (update, 400), ("/wake_up", 200)):
            assert ask(server.url, path, body)[0] == status
        assert server.now()["replicas"] == server.facts["replicas"]
    finally:
        server.stop()


def test_an_answer_passes_as_it_is_and_so_does_a_refusal(fleet, served):
    body = chat(seed=3, max_tokens=8, return_token_ids=True)
    answers = [
        json.loads(ask(each.url, "/v1/chat/completions", body)[1]) for each in (fleet, served)
    ]
    assert answers[0]["choices"] == answers[1]["choices"]
    status, said = ask(fleet.url, "/v1/chat/completions", chat(n=0))
    assert (status, json.loads(said)["error"]["type"]) == (400, "invalid_request_error")


def test_a_stream_passes_piece_by_piece_and_one_that_is_cut_says_so(fleet):
    body = chat(seed=3, max_tokens=4, stream=True)
    events = ask(fleet.url, "/v1/chat/completions", body)[1].decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    host = fleet.url.removeprefix("http://")
    stream = http.client.HTTPConnection(host, timeout=60)
    body = chat(temperature=0, n=32, max_tokens=4000, stream=True)
    headers = {"Authorization": f"Bearer {KEY}"}
    stream.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = stream.getresponse()
    assert answer.read1().startswith(b"data: {")
    for each in fleet.now()["replicas"]:
        os.kill(each["pid"], signal.SIGKILL)
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert b"ended in the middle of a response" in cut.value.partial
    whole(fleet)


def test_replicas_that_are_killed_under_load_lose_nothing_and_change_nothing(
    fleet, served, tmp_path
):
    """The client tries once only: all that is lost is asked again by the front.

    Logits are rounded by what they are computed beside; among two tokens that hardly ever decides.
    """
    records = [
        {"id": f"r{i}", "messages": [{"role": "user", "content": f"What is {i}?"}]}
        for i in range(60)
    ]
    jsonl.write(records, str(tmp_path / "in.jsonl"), plain=True)
    words = "qvl generate -n 2 --top-k 2 --max-tokens 200 --concurrency 16 --retries 0 --plain"
    words += " in.jsonl -o"
    done = shell(tmp_path)(f"{words} alone.jsonl", QVL_ENDPOINT=served.url)
    assert done.returncode == 0, done.stderr
    before = {each["pid"] for each in fleet.now()["replicas"]}
    with (tmp_path / "err").open("w") as errors:
        run = subprocess.Popen(
            [BIN / "qvl", *words.split()[1:], "out.jsonl"],
            cwd=tmp_path,
            stderr=errors,
            env={**os.environ, "QVL_ENDPOINT": fleet.url, "QVL_API_KEY": KEY},
        )
        wait_for((tmp_path / "out.jsonl.journal").exists)
        for each in fleet.now()["replicas"]:  # the second one while the first is away
            time.sleep(0.4)
            assert run.poll() is None
            os.kill(each["pid"], signal.SIGKILL)
        run.wait()
    assert run.returncode == 0, (tmp_path / "err").read_text()
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    whole(fleet)
    assert not before & {each["pid"] for each in fleet.now()["replicas"]}


def test_a_first_start_that_fails_is_told_once_with_its_own_status(tmp_path):
    done = shell(tmp_path)("qvl serve . --replicas 2 --port 0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not a checkpoint: config.json not found" in done.stderr


def test_kill_9_of_the_front_takes_the_replicas_along(twin, tmp_path):
    server = Fleet(twin, tmp_path / "ready.json")
    pids = [each["pid"] for each in server.facts["replicas"]]
    server.process.kill()
    server.process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=20)


@pytest.mark.engines
def test_an_engine_that_is_killed_behind_its_replica_is_started_again(twin, tmp_path):
    path = tmp_path / "ready.json"
    words = ("--backend", "vllm", "--replicas", 2, "--port", 0, "--max-batch", 8)
    running = Running(tmp_path / "log", twin, *words, "--ready-file", path)
    body = {"model": "twin", "messages": messages("x", []), "max_tokens": 200, "temperature": 1}

    def answer(seed):
        said = running.post("/v1/chat/completions", {**body, "seed": seed})
        return said["choices"][0]["message"]["content"]

    alone = [answer(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(answer, seed) for seed in range(8)]
        time.sleep(0.3)
        os.kill(running.facts["replicas"][0]["engine_pid"], signal.SIGKILL)
        assert [future.result() for future in futures] == alone
    wait_for(lambda: json.loads(path.read_text()) != running.facts, seconds=120)
    assert running.stop() == 143
    assert "replica 0: vllm died: it was killed" in running.log.read_text()


# Ready as a server is: the file appears whole, so that no look at it sees half of it.
SAYS_IT_IS_READY = """
import json, socket, sys, time
from pathlib import Path
from qvl.io import atomic
ready_file = Path(sys.argv[sys.argv.index("--ready-file") + 1])
def ready(endpoint):
    atomic.write(ready_file, json.dumps({"endpoint": endpoint, "pid": 1}).encode())
    time.sleep(600)
"""

LISTENS_AND_SAYS_NOTHING = f"""{SAYS_IT_IS_READY}
listener = socket.create_server(("127.0.0.1", 0))
ready("http://127.0.0.1:%d" % listener.getsockname()[1])
"""


def test_a_replica_that_runs_and_answers_nothing_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "HEALTH_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "HANG_SECONDS", 1.0)
    command = [sys.executable, "-c", LISTENS_AND_SAYS_NOTHING]
    told = []
    fleet = fleets.Fleet(command, tmp_path, [{}], tmp_path, told.append, lambda: None)
    (one,) = fleet.supervisors
    assert asyncio.run(one.run_once()) == "it did not answer for 1 s and was killed"
    assert one.replica.status() == -signal.SIGKILL


IS_ELSEWHERE = f"""{SAYS_IT_IS_READY}
ready(sys.argv[1])
"""


def test_replicas_that_never_get_the_present_weights_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY_SECONDS", 0.01)
    told = []

    async def keep(url):
        command = [sys.executable, "-c", IS_ELSEWHERE, url]
        fleet = fleets.Fleet(command, tmp_path, [{}], tmp_path, told.append, lambda: None)
        fleet.control.weight_version, fleet._has_started = "new", True
        fleet._stopped = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(fleet.supervisors[0].keep_running(fleet._give_up), timeout=60)
        return fleet.failure

    with FakeEndpoint(lambda body, attempt: completion("x")) as fake:
        failure = asyncio.run(keep(fake.url))
    assert isinstance(failure, EndpointError) and "does not take token ids" in str(failure)
    assert len(told) == fleets.MAX_FAILED_STARTS - 1


def test_a_request_is_given_up_where_the_only_replica_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(router, "WAIT_SECONDS", 0.2)
    nowhere = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", IS_ELSEWHERE, nowhere]

    async def status():
        fleet = fleets.Fleet(command, tmp_path, [{}], tmp_path, print, lambda: None)
        (replica,) = fleet.replicas
        replica.start()
        replica.facts, replica.is_prepared = {"endpoint": nowhere}, True
        async with TestClient(TestServer(router.Router(fleet, None).app())) as client:
            answer = await asyncio.wait_for(client.post("/v1/chat/completions"), timeout=60)
            return answer.status, replica.num_requests

    code, asked = asyncio.run(status())
    assert code == 503 and asked > 1


def test_gpus_are_shared_out_evenly_and_cores_where_there_are_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,2")
    said = [each["CUDA_VISIBLE_DEVICES"] for each in serve.split_devices(2)]
    assert said == ["4,5", "6,7"]
    with pytest.raises(UserError, match="found 5 GPUs"):
        serve.split_devices(6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert serve.split_devices(2) == [{"OMP_NUM_THREADS": "3"}] * 2
