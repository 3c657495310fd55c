"""What `qvl generate` leaves of a vLLM server's tokens a second, beside a bare asyncio loop.

Needs the engine: `qvl doctor --install vllm --cpu`. Both ask for the same answers, by the same seeds, in
turns, three times; the command's time is that of the whole process, its start and its files included.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from running import KEY, Running

from qvl.engines.serving import environments
from qvl.io import jsonl
from qvl.sampling.samples import sample_seed

BIN = Path(sys.executable).parent
REQUESTS, IN_FLIGHT, TOKENS, ROUNDS = 512, 32, 64, 3


@pytest.fixture
def server(twin, tmp_path, monkeypatch):
    if environments.find("vllm") is None:
        pytest.skip("vLLM is not installed: qvl doctor --install vllm --cpu")
    monkeypatch.setenv("QVL_API_KEY", KEY)
    words = (twin, "--backend", "vllm", "--port", 0, "--max-batch", IN_FLIGHT)
    running = Running(tmp_path / "log", *words)
    yield running
    running.stop()


def records():
    for number in range(REQUESTS):
        turns = [{"role": "user", "content": f"What is {number} + {7 * number}?"}]
        yield {"id": f"r{number}", "messages": turns}


async def bare(url):
    """Tokens a second of a loop that does nothing else."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    bodies = [
        json.dumps(
            {
                "model": "twin",
                "messages": each["messages"],
                "max_tokens": TOKENS,
                "temperature": 1.0,
                "seed": sample_seed(0, each["id"], 0),
            }
        )
        for each in records()
    ]

    async def ask(session, body):
        async with slots, session.post(f"{url}/v1/chat/completions", data=body) as answer:
            return (await answer.json())["usage"]["completion_tokens"]

    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        started = time.perf_counter()
        tokens = sum(await asyncio.gather(*(ask(session, body) for body in bodies)))
        return tokens / (time.perf_counter() - started)


def command(url, folder):
    """Tokens a second of `qvl generate`, as long as the process lives."""
    words = ["--endpoint", url, "--concurrency", str(IN_FLIGHT), "--temperature", "1"]
    words += ["--max-tokens", str(TOKENS), "in.zst", "-o", "out.zst"]
    started = time.perf_counter()
    subprocess.run(
        [BIN / "qvl", "generate", *words], cwd=folder, check=True, stderr=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - started
    found = jsonl.read(str(folder / "out.zst"))
    tokens = sum(each["responses"][0]["num_tokens"] for each in found)
    (folder / "out.zst").unlink()
    return tokens / seconds


def test_tokens_a_second(server, tmp_path):
    jsonl.write(records(), str(tmp_path / "in.zst"))
    asyncio.run(bare(server.url))  # the first requests are slower
    rates = [(asyncio.run(bare(server.url)), command(server.url, tmp_path)) for _ in range(ROUNDS)]
    alone, whole = (statistics.median(each) for each in zip(*rates, strict=True))
    print(
        f"\nvLLM, {IN_FLIGHT} in flight, answers of up to {TOKENS} tokens: a bare loop {alone:,.0f} "
        f"tokens/s, qvl generate {whole:,.0f}: {whole / alone:.2f} of it"
    )
