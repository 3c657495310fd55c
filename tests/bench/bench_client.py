"""What the client costs: requests in flight, CPU a request, memory over a long stream.

Run by `make bench`. Prints figures; never fails by time. The endpoint is a process of its own that
answers every request after 50 ms and does nothing else.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from served import BIN

from qvl.client import Client, Request
from qvl.io import jsonl

IN_FLIGHT = 256
REQUESTS = 20_000
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


def ask(url: str, cache: str | None) -> tuple[float, float, float]:
    """(requests a second, client's CPU milliseconds a request, requests in flight on average)"""
    with Client([url], "m", concurrency=IN_FLIGHT, cache=cache) as client:
        list(client.map(range(-IN_FLIGHT, 0), request))
        looks: list[int] = []
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.01):
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


def test_requests_in_flight_and_cpu_a_request(url, tmp_path):
    print(f"\nan endpoint that answers after 50 ms, {IN_FLIGHT} in flight, {REQUESTS:,} requests")
    for name, cache in (("no cache", None), ("with a cache", str(tmp_path / "cache"))):
        rate, cpu, busy = ask(url, cache)
        print(
            f"  {name:12}: {rate:6.0f} requests/s, {cpu:.2f} ms of CPU per request, "
            f"{busy:.0f} in flight on average"
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
