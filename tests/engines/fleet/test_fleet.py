"""`qvl serve --replicas`: one endpoint, several engines, and what happens when they are killed."""

import asyncio
import http.client
import io
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
from aiohttp import web
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
    """Two replicas that other machines can reach."""

    def __init__(self, twin: Path, ready_file: Path) -> None:
        self.ready_file = ready_file
        words = ("--replicas", 2, "--host", "0.0.0.0", "--port", 0, "--ready-file", ready_file)
        super().__init__(twin, *words, QVL_API_KEY=KEY)

    def now(self) -> dict:
        """The content of the ready file, which follows the replicas."""
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


def wait_until_both_are_up(fleet):
    """The ready file then names none that was killed."""
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


def test_the_ready_line_names_every_replica_and_all_need_the_key(fleet):
    assert fleet.facts == fleet.now()
    endpoints = [each["endpoint"] for each in fleet.facts["replicas"]]
    assert len({fleet.url, *endpoints}) == 3
    for url in (fleet.url, *endpoints):
        assert ask(url, "/health", key="")[0] == 200
        assert ask(url, "/v1/models", key="wrong")[0] == 401
        assert json.loads(ask(url, "/v1/models")[1])["data"][0]["id"] == "twin"


def test_routes_that_change_an_engine_are_not_forwarded(fleet):
    for path in ("/collective_rpc", "/metrics", "/v1/../abort_request"):
        status, answer = ask(fleet.url, path, {})
        assert (status, "send it to each replica itself" in answer.decode()) == (403, True), path


def test_commands_to_all_are_for_this_machine_and_need_the_key(fleet, twin, tmp_path):
    """A command that is refused leaves the replicas as they are."""
    before = fleet.now()
    update = "/update_weights_from_disk"
    other = tmp_path / "other"
    other.mkdir()
    model.write(other, "s", moe=False, thinking=False, seed=0)
    remote = fleet.url.replace("127.0.0.1", own_address())
    for path in ("/pause", "/sleep", update):
        assert ask(remote, path, {})[0] == 403
        assert ask(fleet.url, path, {}, key="wrong")[0] == 401
    assert ask(fleet.url, "/pause")[0] == 405
    for folder, message in (
        (tmp_path / "x", "not a checkpoint"),
        (other, "tensor"),
        (None, "both"),
    ):
        body = {"model_path": folder and str(folder), "weight_version": "1"}
        status, answer = ask(fleet.url, update, body)
        assert (status, message in answer.decode()) == (400, True)
    assert fleet.now() == before
    for version in ("1", before["weight_version"]):
        body = {"model_path": str(twin), "weight_version": version}
        assert ask(fleet.url, update, body)[0] == 200
        assert fleet.now() == {**before, "weight_version": version}
    for path, status in (("/sleep", 200), (update, 400), ("/wake_up", 200)):
        assert ask(fleet.url, path, body)[0] == status
    assert fleet.now()["replicas"] == before["replicas"]


def test_responses_and_refusals_are_passed_on_unchanged(fleet, served):
    body = chat(seed=3, max_tokens=8, return_token_ids=True)
    answers = [
        json.loads(ask(each.url, "/v1/chat/completions", body)[1]) for each in (fleet, served)
    ]
    assert answers[0]["choices"] == answers[1]["choices"]
    status, answer = ask(fleet.url, "/v1/chat/completions", chat(n=0))
    assert (status, json.loads(answer)["error"]["type"]) == (400, "invalid_request_error")


def test_a_stream_is_passed_on_as_it_comes_and_ends_with_an_error_if_it_breaks(fleet):
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
    with pytest.raises(http.client.IncompleteRead) as broken:
        answer.read()
    assert b"ended in the middle of a response" in broken.value.partial
    wait_until_both_are_up(fleet)


def test_replicas_that_are_killed_under_load_lose_nothing_and_change_nothing(
    fleet, served, tmp_path
):
    """The client does not retry: the router repeats every request that is lost.

    Logits depend in their last digits on the rest of the batch; between two tokens that hardly matters.
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
        for each in fleet.now()["replicas"]:  # the second while the first is down
            time.sleep(0.4)
            assert run.poll() is None
            os.kill(each["pid"], signal.SIGKILL)
        run.wait()
    assert run.returncode == 0, (tmp_path / "err").read_text()
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    wait_until_both_are_up(fleet)
    assert not before & {each["pid"] for each in fleet.now()["replicas"]}


def test_a_first_start_that_fails_is_reported_once_with_its_own_status(tmp_path):
    done = shell(tmp_path)("qvl serve . --replicas 2 --port 0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not a checkpoint: config.json not found" in done.stderr


def test_kill_9_of_the_router_ends_the_replicas(twin, tmp_path):
    server = Fleet(twin, tmp_path / "ready.json")
    pids = [each["pid"] for each in server.facts["replicas"]]
    server.process.kill()
    server.process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=20)


@pytest.mark.engines
def test_an_engine_that_is_killed_behind_its_replica_is_restarted(twin, tmp_path):
    path = tmp_path / "ready.json"
    words = ("--backend", "vllm", "--replicas", 2, "--port", 0, "--max-batch", 8)
    running = Running(tmp_path / "log", twin, *words, "--ready-file", path)
    body = {"model": "twin", "messages": messages("x", []), "max_tokens": 200, "temperature": 1}

    def answer(seed):
        answer = running.post("/v1/chat/completions", {**body, "seed": seed})
        return answer["choices"][0]["message"]["content"]

    alone = [answer(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(answer, seed) for seed in range(8)]
        time.sleep(0.3)
        os.kill(running.facts["replicas"][0]["engine_pid"], signal.SIGKILL)
        assert [future.result() for future in futures] == alone
    wait_for(lambda: json.loads(path.read_text()) != running.facts, seconds=120)
    assert running.stop() == 143
    assert "replica 0: vllm died: it was killed" in running.log.read_text()


# The ready file appears whole, as a server's does.
REPORTS_READY = """
import json, socket, sys, time
from pathlib import Path
from qvl.io import atomic
ready_file = Path(sys.argv[sys.argv.index("--ready-file") + 1])
def ready(endpoint):
    atomic.write(ready_file, json.dumps({"endpoint": endpoint, "pid": 1}).encode())
    time.sleep(600)
"""

LISTENS_AND_HANGS = f"""{REPORTS_READY}
listener = socket.create_server(("127.0.0.1", 0))
ready("http://127.0.0.1:%d" % listener.getsockname()[1])
"""


def test_a_replica_that_hangs_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "HEALTH_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "HANG_SECONDS", 1.0)
    command = [sys.executable, "-c", LISTENS_AND_HANGS]
    reported = []
    fleet = fleets.Fleet(command, tmp_path, [{}], tmp_path, reported.append, lambda: None)
    (one,) = fleet.supervisors
    assert asyncio.run(one.run_once()) == "it did not answer for 1 s and was killed"
    assert one.replica.status() == -signal.SIGKILL


IS_ELSEWHERE = f"""{REPORTS_READY}
ready(sys.argv[1])
"""


def test_replicas_that_never_get_the_present_weights_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY_SECONDS", 0.01)
    reported = []

    async def keep(url):
        command = [sys.executable, "-c", IS_ELSEWHERE, url]
        fleet = fleets.Fleet(command, tmp_path, [{}], tmp_path, reported.append, lambda: None)
        fleet.control.weight_version, fleet._has_started = "new", True
        fleet._stopped = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(fleet.supervisors[0].keep_running(fleet._give_up), timeout=60)
        return fleet.failure

    with FakeEndpoint(lambda body, attempt: completion("x")) as fake:
        failure = asyncio.run(keep(fake.url))
    assert isinstance(failure, EndpointError) and "does not take token ids" in str(failure)
    assert len(reported) == fleets.MAX_FAILED_STARTS - 1


def test_a_request_fails_if_the_only_replica_cannot_be_reached(tmp_path, monkeypatch):
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


def test_requests_of_a_session_go_to_one_replica(tmp_path, monkeypatch):
    monkeypatch.setattr(fleets.Replica, "is_up", True)
    names = web.AppKey("name", str)

    async def engine(request):
        return web.Response(text=request.app[names])

    def app(name):
        made = web.Application()
        made[names] = name
        made.router.add_post("/v1/chat/completions", engine)
        return made

    async def answered():
        fleet = fleets.Fleet(["true"], tmp_path, [{}, {}], tmp_path, print, print)
        async with TestServer(app("0")) as one, TestServer(app("1")) as other:
            for replica, server in zip(fleet.replicas, (one, other), strict=True):
                replica.facts = {"endpoint": str(server.make_url(""))}
            found = {"a": "", "b": "", "c": "", "d": ""}
            async with TestClient(TestServer(router.Router(fleet, None).app())) as client:
                for session in [*found] * 5:
                    headers = {"X-Session-Id": session}
                    answer = await client.post("/v1/chat/completions", headers=headers)
                    found[session] += await answer.text()
        return found

    found = asyncio.run(answered())
    assert sorted(found.values()) == ["0" * 5, "0" * 5, "1" * 5, "1" * 5]


@pytest.mark.filterwarnings("error::ResourceWarning")  # of aiohttp, for a body that is sent at once
def test_a_large_body_is_forwarded_in_pieces_with_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(router, "PIECE", 1000)
    pieces, forward = [], router._pieces

    async def watched(body):
        async for piece in forward(body):
            pieces.append(len(piece))
            yield piece

    monkeypatch.setattr(router, "_pieces", watched)
    sent = os.urandom(1 << 21)

    async def engine(request):
        got = await request.read()
        length, coding = map(request.headers.get, ("Content-Length", "Transfer-Encoding"))
        return web.json_response([got == sent, length, coding])

    async def answered():
        app = web.Application(client_max_size=0)
        app.router.add_post("/v1/chat/completions", engine)
        fleet = fleets.Fleet([sys.executable, "-c", ""], tmp_path, [{}], tmp_path, print, print)
        (replica,) = fleet.replicas
        async with TestServer(app) as server:
            replica.facts, replica.is_prepared = {"endpoint": str(server.make_url(""))}, True
            monkeypatch.setattr(fleet, "pick", lambda tried, session=None: replica)
            async with TestClient(TestServer(router.Router(fleet, None).app())) as client:
                answer = await client.post("/v1/chat/completions", data=io.BytesIO(sent))
                return await answer.json()

    assert asyncio.run(answered()) == [True, str(len(sent)), None]
    assert set(pieces) == {1000, len(sent) % 1000}


def test_gpus_are_split_evenly_and_cores_if_there_are_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,2")
    answer = [each["CUDA_VISIBLE_DEVICES"] for each in serve.split_devices(2)]
    assert answer == ["4,5", "6,7"]
    with pytest.raises(UserError, match="found 5 GPUs"):
        serve.split_devices(6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert serve.split_devices(2) == [{"OMP_NUM_THREADS": "3"}] * 2
