"""How fast the local engine answers, against transformers' generate on the same batch; and what the
largest body takes of memory and of the time of others.

Run by `make bench`. Prints figures and ratios; never fails by time.
"""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from served import Served

from qvl.client import Client, Request

TOKENS = 32
REQUESTS = 512


def ask(url, concurrency, requests, media):
    """(requests a second, tokens a second, client's CPU milliseconds a request)"""
    image = [{"type": "image", "image": "wide.png"}] if media else []

    def request(i):
        content = [*image, {"type": "text", "text": f"What is {i} + {7 * i}?"}]
        sampling = {"temperature": 1.0, "seed": i, "max_tokens": TOKENS}
        return Request([{"role": "user", "content": content}], sampling)

    with Client([url], concurrency=concurrency, root=media or Path()) as client:
        list(client.map(range(concurrency), request))  # the first of a size is slower
        started, cpu = time.perf_counter(), time.process_time()
        tokens = 0
        for _, answer in client.map(range(requests), request):
            assert isinstance(answer, dict), answer
            tokens += answer["usage"]["completion_tokens"]
        seconds = time.perf_counter() - started
        return requests / seconds, tokens / seconds, 1e3 * (time.process_time() - cpu) / requests


def bare(twin, rows):
    """Tokens a second of transformers' generate on one batch of `rows` prompts, sampled."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(twin, padding_side="left")
    model: Any = transformers.AutoModelForImageTextToText.from_pretrained(twin, dtype=torch.float32)
    turns = [
        f"<|im_start|>user\nWhat is {i} + {7 * i}?<|im_end|>\n<|im_start|>assistant\n"
        for i in range(rows)
    ]
    inputs = tokenizer(turns, return_tensors="pt", padding=True)
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        out = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=True,
            max_new_tokens=TOKENS,
        )
        new = out[:, inputs["input_ids"].shape[1] :]
        pad = tokenizer.pad_token_id
        best = max(best, int((new != pad).sum()) / (time.perf_counter() - started))
    return best


def test_requests_and_tokens_a_second(twin, media, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    figures = {}
    server = Served(twin, "--port", 0, "--media-root", media)
    try:
        for name, root in (("text", None), ("image", media)):
            for concurrency, requests in ((1, 32), (64, REQUESTS)):
                figures[name, concurrency] = ask(server.url, concurrency, requests, root)
    finally:
        server.stop()
    print("\nlocal engine, one thread, answers of up to", TOKENS, "tokens")
    for (name, concurrency), (rate, tokens, cpu) in figures.items():
        print(
            f"  {name:5} {concurrency:3} in flight: {rate:7.1f} requests/s {tokens:8.0f} tokens/s, "
            f"client {cpu:.2f} ms of CPU a request"
        )
    for rows in (1, 64):
        rate = bare(twin, rows)
        ratio = figures["text", rows][1] / rate
        print(
            f"  transformers generate, {rows:2} rows: {rate:8.0f} tokens/s; the engine: {ratio:.2f}x"
        )


BODY = 1 << 28  # bytes, the most that is read
LARGE = {  # what a body repeats, between its first bytes and its last
    "a text": (b'{"messages": [{"role": "user", "content": "', b"word ", b'"}]}'),
    "an image": (
        b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": '
        b'{"url": "data:image/png;base64,',
        b"AAAA",
        b'"}}]}]}',
    ),
    "escapes": (b'{"messages": [{"role": "user", "content": "', b"\\u00e9", b'"}]}'),
    "numbers": (b'{"messages": [', b"0,", b"0]}"),
}


def memory(server, field):
    """MiB of the engine's process: VmRSS now, VmHWM at the peak."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def sent(server, body):
    """The status of a body."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + "/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_body_of_256_mib(twin):
    server = Served(twin, "--port", 0)
    user = {"role": "user", "content": "hi"}
    assert sent(server, json.dumps({"messages": [user], "max_tokens": 1}).encode()) == 200
    print(f"\n{os.getloadavg()[0]:.0f} programs running on {os.cpu_count()} cores")
    for name, (head, unit, tail) in LARGE.items():
        body = head + unit * ((BODY - len(head) - len(tail)) // len(unit)) + tail
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        idle, waits, done = memory(server, "VmRSS"), [], threading.Event()

        def look(waits=waits, done=done):
            while not done.is_set():
                began = time.monotonic()
                urllib.request.urlopen(server.url + "/health", timeout=60).read()
                waits.append(time.monotonic() - began)
                time.sleep(0.02)

        looking = threading.Thread(target=look)
        looking.start()
        began = time.monotonic()
        status = sent(server, body)
        seconds = time.monotonic() - began
        done.set()
        looking.join()
        peak = memory(server, "VmHWM") - idle
        waits.sort()
        print(
            f"{name:9} status {status} after {seconds:4.1f} s; {peak:4.0f} MiB above {idle:.0f}; "
            f"/health: median {waits[len(waits) // 2]:.3f} s, worst {waits[-1]:.2f} s"
        )
    server.stop()
