"""What asking a judge costs: processor time a request, requests in flight, memory as records grow.

Against an endpoint that answers in 50 ms, in a process of its own. Processor time is the client's, with
JSON and cache; the whole commands add reading, rules, writing and their journal. The time of a run of
ONCE records is taken from that of TEN times as many, so that starting does not count. Memory grows by a
few MiB while the output's compressor fills its window, until some 100,000 records.

256 in flight at 50 ms are 5,120 requests a second, more than one core has for them: the client's slots
are full then, and what the server has not taken up waits in a socket.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from qvl.client import Client, Request
from qvl.io import jsonl

BIN = Path(sys.executable).parent
ONCE, TEN = 1000, 10
CONCURRENCY = 256
AXES = ("correctness", "completeness", "clarity", "helpfulness", "language", "style")
REPLY = json.dumps({"reason": "It is so.", **dict.fromkeys(AXES, 4)})


@pytest.fixture
def url():
    words = [sys.executable, Path(__file__).with_name("patient_endpoint.py"), REPLY]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.terminate()


def records(count):
    for number in range(count):
        asked = {"role": "user", "content": f"What is {number} + {number}? Say it in a sentence."}
        response = {"content": f"The sum of {number} and {number} is {2 * number}."}
        yield {"id": f"r{number}", "messages": [asked], "responses": [response]}


def in_flight(url):
    """What the server saw: the share of requests that found 90% of all that may be in flight there,
    and the median. What waits in a socket is in flight for the client and not yet for the server."""
    with urllib.request.urlopen(f"{url}/flight") as answer:
        seen = json.loads(answer.read())
    settled = seen[CONCURRENCY : len(seen) - CONCURRENCY]
    full = sum(count >= 0.9 * CONCURRENCY for count in settled) / len(settled)
    return full, statistics.median(settled)


@pytest.mark.parametrize("cached", [False, True])
def test_the_client_alone(url, cached, tmp_path):
    cache = str(tmp_path / "cache") if cached else None
    with Client([url], "judge", concurrency=CONCURRENCY, cache=cache) as client:
        started, wall = time.process_time(), time.monotonic()
        asked = (Request(each["messages"], {"temperature": 0}) for each in records(ONCE * TEN))
        busy = [client.endpoints[0].busy for _ in client.map(asked, lambda request: request)]
        spent, wall = time.process_time() - started, time.monotonic() - wall
    count = len(busy)
    full, median = in_flight(url)
    print(
        f"\nclient{' with cache' if cached else ''}: {spent / count * 1e3:.2f} ms of CPU a request, "
        f"{count / wall:,.0f} requests/s; {statistics.median(busy):.0f} in flight for the client, "
        f"{median:.0f} for the server, {full:.0%} of requests found it full"
    )


@pytest.mark.parametrize("command", ["score-responses", "score-responses, rules alone"])
def test_a_judge_stage(url, command, tmp_path):
    spent, peak = {}, {}
    for times in (1, TEN):
        path = tmp_path / f"{times}.zst"
        jsonl.write(records(ONCE * times), str(path))
        words = [BIN / "qvl", "score-responses", path, "-o", tmp_path / f"out{times}.zst"]
        if command == "score-responses":
            words += ["--judge", url, "--concurrency", str(CONCURRENCY)]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        spent[times] = usage.ru_utime + usage.ru_stime
        peak[times] = usage.ru_maxrss / 1024
    each = (spent[TEN] - spent[1]) / (ONCE * (TEN - 1)) * 1e3
    print(
        f"\n{command}: {each:.2f} ms of CPU a record; peak {peak[1]:.0f} MiB at "
        f"{ONCE:,} records, {peak[TEN]:.0f} at {ONCE * TEN:,}"
    )
    if command == "score-responses":
        print("{:.0%} of requests found it full; {:.0f} in flight".format(*in_flight(url)))
