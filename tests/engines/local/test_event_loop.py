"""What may take a second is done outside the event loop, in threads that let it run."""

import asyncio
import threading
import time

import aiohttp
import pytest
from aiohttp import web

from qvl.engines.local import api
from qvl.engines.local.app import make_app
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.service import LocalOptions, Service
from qvl.engines.serving import http


@pytest.fixture(scope="module")
def checkpoint(twin):
    return Checkpoint(twin)


def test_other_threads_run_while_a_long_text_is_tokenised(checkpoint):
    turns, done = 0, threading.Event()

    def run():
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0.001)

    other = threading.Thread(target=run)
    other.start()
    while not turns:
        time.sleep(0.001)
    before = turns
    checkpoint._encoded("word " * 200_000)
    during = turns - before
    done.set()
    other.join()
    assert during > 5  # of hundreds; one, at most, if the interpreter is held


def test_the_ids_of_a_batch_are_those_of_a_text(checkpoint):
    for text in ("", "hi", "<|im_start|>user\nwhat?<|im_end|>", " a  b\n\n", "日本語 é 🙂"):
        encoded = checkpoint._encoded(text)
        backend = checkpoint.tokenizer.backend_tokenizer
        assert encoded.ids == backend.encode(text, add_special_tokens=False).ids


def test_requests_are_parsed_and_answers_built_outside_the_event_loop(checkpoint, monkeypatch):
    places = {}

    def watched(module, name):
        function = getattr(module, name)

        def call(*args):
            places[name] = threading.current_thread()
            return function(*args)

        monkeypatch.setattr(module, name, call)

    watched(api, "parse")
    watched(api, "completion")
    watched(checkpoint, "prepare_chat")
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 2,
        "logprobs": True,
        "top_logprobs": 2,
    }

    async def answer():
        runner = http.runner(make_app(Service(checkpoint, LocalOptions(name="m"))))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            found = await response.json()
        await runner.cleanup()
        return found

    found = asyncio.run(answer())
    assert len(found["choices"][0]["logprobs"]["content"]) == 2
    assert places.keys() == {"parse", "completion", "prepare_chat"}
    assert threading.main_thread() not in places.values()
