"""What the client costs: requests in flight, CPU per request beside bare aiohttp, memory over a long stream.

Run by `make bench`. Prints figures; never fails by time. The endpoint is a process of its own that
answers every request after 50 ms and does nothing else. Bare aiohttp is one event loop with as many tasks
as requests in flight, each of which posts JSON and parses the answer's: no order, retries, budget or cache.
The garbage collector searches nothing that was imported, and runs as rarely for the client as in `qvl`.
"""

import asyncio
import contextlib
import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from served import BIN

from qvl.client import Client, Request
from qvl.imports import COLLECT_AFTER
from qvl.io import jsonl

IN_FLIGHT = 256
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "20000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
RECORDS = 100_000
SERVER = """
import asyncio, json, sys

SECONDS = 0.05
choice = {"index": 0, "message": {"role": "assistant", "content": "an answer of some words " * 20}}
body = {"model": "m", "choices": [{**choice, "finish_reason": "stop"}]}
body = json.dumps({**body, "usage": {"prompt_tokens": 40, "completion_tokens": 100}}).encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
ANSWER = head % len(body) + body

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.got = transport, b""
    def data_received(self, data):
        self.got += data
        head, end, rest = self.got.partition(b"\\r\\n\\r\\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0] or 0)
        if len(rest) >= length:
            self.got = rest[length:]
            asyncio.get_running_loop().call_later(SECONDS, self.answer)
    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(ANSWER)

async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()


def request(i: int) -> Request:
    messages = [{"role": "user", "content": f"What is {i} + {7 * i}? " + "Think first. " * 20}]
    return Request(messages, {"temperature": 1.0, "seed": i, "max_tokens": 100})


@contextlib.contextmanager
def as_in_a_command() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def ask(url: str, cache: str | None) -> tuple[float, float, float]:
    """(requests a second, client's CPU milliseconds a request, requests in flight on average)"""
    with (
        as_in_a_command(),
        Client([url], "m", concurrency=IN_FLIGHT, cache=cache) as client,
    ):
        list(client.map(range(-IN_FLIGHT, 0), request))
        looks: list[int] = []
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.05):
                looks.append(client.endpoints[0].busy)

        watcher = threading.Thread(target=look)
        watcher.start()
        started, cpu = time.perf_counter(), time.process_time()
        for _, answer in client.map(range(REQUESTS), request):
            assert isinstance(answer, dict), answer
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
        over.set()
        watcher.join()
    return REQUESTS / seconds, 1e3 * cpu / REQUESTS, sum(looks) / len(looks)


def ask_bare(url: str) -> float:
    """CPU milliseconds per request of aiohttp alone."""

    async def post(session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            asked = request(number)
            body = orjson.dumps({"model": "m", "messages": asked.messages, **asked.sampling})
            headers = {"Content-Type": "application/json"}
            path = f"{url}/v1/chat/completions"
            async with session.post(path, data=body, headers=headers) as response:
                answer = orjson.loads(await response.read())
                assert answer["choices"], answer

    async def all_of_them(numbers: Iterator[int]) -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            warm = iter(range(-IN_FLIGHT, 0))
            await asyncio.gather(*(post(session, warm) for _ in range(IN_FLIGHT)))
            cpu = time.process_time()
            await asyncio.gather(*(post(session, numbers) for _ in range(IN_FLIGHT)))
            return time.process_time() - cpu

    return 1e3 * asyncio.run(all_of_them(iter(range(REQUESTS)))) / REQUESTS


def test_requests_in_flight_and_cpu_a_request(url, tmp_path):
    """A ratio is to bare aiohttp's CPU time in the same round; lower is better, 1 is equal."""
    print(f"\nan endpoint that answers after 50 ms, {IN_FLIGHT} in flight, {REQUESTS:,} requests,")
    print(f"{ROUNDS} rounds; CPU time to that of bare aiohttp: the median (lowest-highest)")
    gc.collect()
    gc.freeze()
    bare: list[float] = []
    found: dict[str, list[tuple[float, float, float]]] = {"no cache": [], "with a cache": []}
    for number in range(ROUNDS):
        bare.append(ask_bare(url))
        found["no cache"].append(ask(url, None))
        found["with a cache"].append(ask(url, str(tmp_path / f"cache{number}")))
    print(f"  bare aiohttp: {statistics.median(bare):.2f} ms of CPU per request")
    for name, rounds in found.items():
        rate, cpu, busy = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratios = sorted(one[1] / other for one, other in zip(rounds, bare, strict=True))
        print(
            f"  {name:12}: {rate:6.0f} requests/s, {cpu:.2f} ms of CPU per request, "
            f"{busy:.0f} in flight on average; {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f})"
        )


def test_memory_over_a_long_stream(url, tmp_path):
    """The memory of `qvl generate` over a long stream: flat once the compressor's window is full."""
    path = tmp_path / "in.zst"
    jsonl.write(
        ({"id": f"r{i}", "messages": request(i).messages} for i in range(RECORDS)), str(path)
    )
    words = ["generate", "--concurrency", str(IN_FLIGHT), "--model", "m", "--max-tokens", "100"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [BIN / "qvl", *words, "in.zst", "-o", "out.zst"],
        cwd=tmp_path,
        env={**os.environ, "QVL_ENDPOINT": url},
    )
    held: list[int] = []
    while process.poll() is None:
        held.append(resident(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - started
    assert process.returncode == 0
    quarters = [held[len(held) * part // 4 - 1] for part in (1, 2, 3)] + [max(held)]
    print(
        f"\nqvl generate, {RECORDS:,} records, {RECORDS / seconds:.0f} per second; MiB held after"
    )
    print("  each quarter, the last one the most ever: " + ", ".join(map(str, quarters)))


def resident(pid: int) -> int:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
