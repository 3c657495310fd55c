"""What an agent costs beside its engine: episodes in flight, a zoom on a photograph, memory.

Run by `make bench`. Prints figures; never fails by time. The endpoint answers in 50 ms; the bare client
sends it the same prompts, without an episode around them.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import pytest
from PIL import Image
from scripted_engine import call

from qvl.agent.agent import Agent
from qvl.agent.episode import Wanted
from qvl.agent.settings import AgentSettings
from qvl.agent.tools import ToolSettings
from qvl.agent.tools.toolbox import Toolbox
from qvl.engines.client import connect
from qvl.engines.prompt_rules import PromptRules
from qvl.engines.tokens import SamplingParams, TokensPrompt
from qvl.media import png
from qvl.pack.template import load_tokenizer

IN_FLIGHT = 256
GROUP = 8  # episodes of a query
EPISODES = int(os.environ.get("BENCH_EPISODES", "1536"))  # per round; 10000 for the memory
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
ZOOM = {"label": "card", "bbox_2d": [100, 100, 260, 260], "img_idx": 0}
RECORD = {
    "id": "a",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": "scene.png"},
                {"type": "text", "text": "Read the two cards. " * 10},
            ],
        }
    ],
}


@pytest.fixture
def root(tmp_path):
    image = Image.new("RGB", (384, 384), "grey")
    image.paste("red", (60, 60, 120, 120))
    image.save(tmp_path / "scene.png")
    return tmp_path


@pytest.fixture
def url(root, twin):
    tokenizer, rules = load_tokenizer(twin), PromptRules.load(twin)
    turns = [f"I look. {call(**ZOOM)}", call(**{**ZOOM, "bbox_2d": [500, 500, 660, 660]}), "4 7"]
    assert rules.patches
    plan = {
        "pad": rules.image_token,
        "scene": rules.patches.num_tokens(rules.patches.grid(384, 384)),
        "crop": rules.patches.num_tokens(rules.patches.grid(96, 96)),
        "turns": [
            tokenizer.encode(f"{text}<|im_end|>", add_special_tokens=False).ids for text in turns
        ],
    }
    (root / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).parent / "token_endpoint.py"
    process = subprocess.Popen(
        [sys.executable, script, root / "plan.json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()


def in_flight(start: Any, total: int, most: int = IN_FLIGHT) -> tuple[float, float]:
    """(seconds, CPU seconds) of `total` works, `most` at a time."""
    room, errors = threading.BoundedSemaphore(most), []

    def over(future: Any) -> None:
        if future.exception():
            errors.append(future.exception())
        room.release()

    began, cpu = time.perf_counter(), time.process_time()
    for number in range(total):
        room.acquire()
        start(number).add_done_callback(over)
    for _ in range(most):
        room.acquire()
    assert not errors, errors[0]
    return time.perf_counter() - began, time.process_time() - cpu


def test_episodes_beside_the_bare_client(root, twin, url):
    tools = ToolSettings(names=("image_zoom_in_tool",), min_tokens=8)
    settings = AgentSettings(tools=tools, schemas=False)
    with (
        connect(url, twin, concurrency=IN_FLIGHT) as engine,
        Agent(settings, engine, twin, root) as agent,
    ):
        prompts: list[TokensPrompt] = []
        send = engine.generate

        def noting(prompt, params):
            if len(prompts) < 3:
                prompts.append(TokensPrompt(list(prompt.token_ids), list(prompt.images)))
            return send(prompt, params)

        wanted = [Wanted(SamplingParams(), lambda turn: turn, {})]
        engine.generate = noting  # type: ignore[method-assign]
        group: Any = agent.submit(RECORD, wanted).result(60)
        engine.generate = send  # type: ignore[method-assign]
        assert [group.responses[0]["num_turns"], len(prompts)] == [3, 3]
        params = SamplingParams(max_tokens=100, seed=1)
        ratios = []
        for _ in range(ROUNDS):
            before = resident()
            bare, bare_cpu = in_flight(lambda n: send(prompts[n % 3], params), 3 * EPISODES)
            between = resident()
            groups = EPISODES // GROUP
            full, full_cpu = in_flight(
                lambda _: agent.submit(RECORD, wanted * GROUP), groups, IN_FLIGHT // GROUP
            )
            ratios.append(bare / full)
            turns = 3 * EPISODES
            print(
                f"\nbare {turns / bare:,.0f} turns/s, {1e3 * bare_cpu / turns:.2f} ms CPU each; "
                f"episodes {turns / full:,.0f} turns/s, {1e3 * full_cpu / turns:.2f} ms CPU each; "
                f"ratio {bare / full:.2f}; memory {before}, {between}, {resident()} MiB"
            )
        print(f"median ratio {median(ratios):.2f}")


def test_a_zoom_on_a_photograph_of_12_megapixels(root):
    noise = numpy.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=numpy.uint8)
    photo = Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC)
    photo.save(root / "photo.jpg", quality=92)
    with Toolbox(ToolSettings(names=("image_zoom_in_tool",)), root) as box:
        context = box.context(["photo.jpg"])
        for name, edges in {
            "first, decoded": [400, 400, 600, 600],
            "a tenth of the sides": [420, 430, 520, 530],
            "a fifth": [400, 400, 600, 600],
            "two fifths": [100, 100, 500, 500],
        }.items():
            found = []
            for _ in range(1 if "decoded" in name else 9):
                began = time.thread_time()
                (crop,) = box("image_zoom_in_tool", {**ZOOM, "bbox_2d": edges}, context).parts
                assert isinstance(crop, Image.Image)
                png.encode(crop)
                found.append(1e3 * (time.thread_time() - began))
            print(f"\nzoom, {name}: {median(found):.1f} ms CPU, {crop.width}x{crop.height}")


def resident() -> int:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
