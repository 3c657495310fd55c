"""What an agent sampled is what is trained: its log-probs by engine and trainer agree at every layout."""

import json
import os
from typing import Any

import pytest
from PIL import Image
from scripted_engine import ScriptedEngine, call

from qvl.agent.agent import Agent
from qvl.agent.episode import Wanted
from qvl.agent.settings import AgentSettings
from qvl.agent.tools import ToolSettings
from qvl.client.chat import data_uri
from qvl.engines.client import connect
from qvl.engines.tokens import SamplingParams, TokensPrompt
from qvl.io import jsonl
from qvl.jobs import rl
from qvl.rollout.settings import PolicySettings, RewardSettings, SamplingSettings
from qvl.settings import Checkpointing, Logging, ModelSettings, Optimization

ZOOM = {"label": "card", "bbox_2d": [0, 0, 500, 500], "img_idx": 0}
OTHER = {**ZOOM, "bbox_2d": [200, 100, 900, 900]}
SCRIPTS = {  # by the question
    "none": ("5",),
    "one": (call(**ZOOM), "5"),
    "several": (f"I look.\n{call(**ZOOM)}\n{call(**OTHER)}", "7 3"),
    "error": (call(**{**ZOOM, "img_idx": 3}), call(**OTHER), "It is 5."),
}
LAYOUTS = ("tp=2", "pp=2", "cp=2")


def say(prompt, turns):
    name = prompt.split("Read ")[1].split(".")[0]
    return SCRIPTS[name][turns - 1]


def record(name):
    content = [{"type": "image", "image": "scene.png"}, {"type": "text", "text": f"Read {name}."}]
    return {"id": name, "messages": [{"role": "user", "content": content}]}


def log_probs(engine, server, response, images):
    """The engine's, of the sampled tokens: the whole trajectory as one prompt, one pad per image."""
    ids = [*response["prompt_token_ids"], *response["token_ids"]]
    pad = server.rules.image_token
    short = [x for place, x in enumerate(ids) if x != pad or place == 0 or ids[place - 1] != pad]
    found = engine.prompt_logprobs(TokensPrompt(short, images)).result(60)
    assert found.prompt_ids == ids
    start = len(response["prompt_token_ids"])
    return [
        found.logprobs[start + place]
        for begin, end in response["sampled"]
        for place in range(begin, end)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin, served):
    """A step of trajectories with images, errors and several calls, scored by a real engine."""
    made = tmp_path_factory.mktemp("tools")
    (made / "twin").symlink_to(twin)
    Image.effect_noise((200, 100), 60).convert("RGB").save(made / "scene.png")
    tools = ToolSettings(names=("image_zoom_in_tool",), min_tokens=4)
    settings = AgentSettings(tools=tools, schemas=False, images=None)
    wanted = [Wanted(SamplingParams(), lambda turn: turn, {"temperature": 1.0})] * 2
    with (
        ScriptedEngine(twin, say) as server,
        connect(server.url, twin) as scripted,
        connect(served.url, twin) as engine,
        Agent(settings, scripted, twin, made) as agent,
    ):
        scene, records = data_uri("scene.png", made), []
        for name in SCRIPTS:
            group: Any = agent.submit(record(name), wanted).result(60)
            responses = [
                {
                    **response,
                    "logprobs": log_probs(engine, server, response, [scene, *response["images"]]),
                    "advantage": advantage,
                    "reward": 1.0,
                    "rewards": {},
                }
                for response, advantage in zip(group.responses, (1.0, -0.5), strict=True)
            ]
            records.append({**record(name), "responses": responses, "rollout": group.media})
    jsonl.write(records, str(made / "step.jsonl.zst"))
    return made


def rank_of(folder, output, layout):
    os.chdir(folder)
    settings = rl.RlSettings(
        model=ModelSettings(model="twin", layout=layout),
        sampling=SamplingSettings(
            model="twin", queries=(), output=output, endpoint="", media_root="."
        ),
        rewards=RewardSettings(),
        policy=PolicySettings(pack_tokens=64, stored=("step.jsonl.zst",)),
        optimization=Optimization(lr=1e-3, eps=1e-3, schedule="constant"),
        checkpointing=Checkpointing(output=output),
        logging=Logging(log_every=1),
    )
    rl.run(settings, lambda row: None, lambda: False)


def row(folder, output):
    lines = (folder / output / "log.jsonl").read_text().splitlines()
    (found,) = [each for each in map(json.loads, lines) if "reward" in each]
    return found


@pytest.fixture(scope="module")
def alone(folder, ranks):
    ranks(1, rank_of, folder, "alone", "")
    return row(folder, "alone")


def test_engine_and_trainer_agree_on_every_sampled_token_of_a_trajectory(alone):
    assert alone["drift_max"] < 1e-5
    assert (alone["calls"], alone["over_turn"]) == (pytest.approx((0 + 1 + 2 + 2) / 4), 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_they_agree_at_every_layout_and_learn_the_same(folder, alone, ranks, layout):
    ranks(2, rank_of, folder, layout, layout)
    shared = row(folder, layout)
    assert shared["drift_max"] < 1e-5
    assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)
