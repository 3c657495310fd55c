"""Episodes against an engine that says what the test wants: every token knows whether it was sampled."""

import contextlib
import time
from collections import Counter
from typing import Any

import pytest
from PIL import Image
from scripted_engine import ScriptedEngine, call

from qvl.agent.agent import Agent
from qvl.agent.episode import Wanted
from qvl.agent.settings import AgentSettings
from qvl.agent.tools import ToolSettings
from qvl.engines.client import connect
from qvl.engines.tokens import SamplingParams
from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.stage import Drop

TOOLS = ("image_zoom_in_tool", "own_tools:misbehaves")
ZOOM = {"label": "card", "bbox_2d": [0, 0, 500, 500], "img_idx": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes")
    Image.effect_noise((200, 100), 60).convert("RGB").save(folder / "scene.png")
    return folder


def record(question="Read the card.", **fields):
    content = [{"type": "image", "image": "scene.png"}, {"type": "text", "text": question}]
    return {"id": "one", "messages": [{"role": "user", "content": content}], **fields}


@contextlib.contextmanager
def an_agent(model, root, say, **settings):
    given: dict[str, Any] = {
        "schemas": False,
        "tools": ToolSettings(names=TOOLS, min_tokens=4, seconds=8),
    }
    with (
        ScriptedEngine(model, say) as server,
        connect(server.url, model) as engine,
        Agent(AgentSettings(**{**given, **settings}), engine, model, root) as agent,
    ):
        yield agent, server


def run(agent, *records, count=1):
    wanted = [Wanted(SamplingParams(), lambda turn: turn, {"temperature": 1.0})] * count
    futures = [agent.submit(each, wanted) for each in records or [record()]]
    found: list[Any] = [each.result(60) for each in futures]
    return found


def script(*texts):
    return lambda prompt, turns: texts[turns - 1]


def one(agent):
    ((found,),) = [group.responses for group in run(agent)]
    return found


def tool_texts(response):
    return [
        each["content"] if isinstance(each["content"], str) else each["content"][0].get("text")
        for each in response["messages"]
        if each["role"] == "tool"
    ]


def test_an_episode_thinks_acts_reads_and_answers(twin, root):
    with an_agent(
        twin, root, script("I look. " + call(**ZOOM), "<think>\nA five.\n</think>\n\n5")
    ) as (agent, _server):
        found = one(agent)
    assert (found["content"], found["reasoning_content"]) == ("5", "A five.")
    assert (found["finish_reason"], found["num_turns"], found["num_calls"]) == ("stop", 2, 1)
    assert found["calls"] == [
        {"turn": 1, "name": "image_zoom_in_tool", "arguments": ZOOM, "failed": False}
    ]
    assert [each["role"] for each in found["messages"]] == ["assistant", "tool", "assistant"]
    (image,) = found["images"]
    assert Image.open(root / image).size == (96, 64)  # of 100 x 50 pixels
    assert found["grids"] == [[1, 4, 6]]


def test_the_turns_of_all_episodes_of_a_record_are_one_session(twin, root):
    with an_agent(twin, root, script(call(**ZOOM), "5")) as (agent, server):
        run(agent, record(), record("Read it."), count=3)
    sessions = Counter(headers["X-Session-Id"] for headers, _ in server.requests)
    assert [*sessions.values()] == [6, 6]


SCRIPTS = {
    "one": (call(**ZOOM), "5"),
    "several": (f"{call(**ZOOM)}\n{call(**{**ZOOM, 'bbox_2d': [500, 0, 900, 900]})}", "7 3"),
    "error": (call(**{**ZOOM, "img_idx": 3}), call(**ZOOM), "It is 5."),
    "words": (f"Let me look.\n{call(**ZOOM)}", "5"),
    "none": ("5",),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_token_is_what_training_on_the_messages_would_have_rendered(twin, root, name):
    """The spans are compared token by token with those of `qvl pack`, whose targets are the turns."""
    with an_agent(twin, root, script(*SCRIPTS[name])) as (agent, server):
        found = one(agent)
        said = [server.ids(text + "<|im_end|>") for text in SCRIPTS[name]]
    rendered = Renderer(twin, media_root=root)(
        {**record(), "messages": [*record()["messages"], *found["messages"]]}
    )
    assert isinstance(rendered, Sample)
    start = len(found["prompt_token_ids"])
    ids = [*found["prompt_token_ids"], *found["token_ids"]]
    assert ids == list(rendered.ids)[: len(ids)]
    assert list(rendered.ids)[len(ids) :] == server.ids("\n")
    spans = [(start + begin, start + end) for begin, end in found["sampled"]]
    assert spans == [(begin, end) for begin, end, _ in rendered.spans]
    assert [ids[begin:end] for begin, end in spans] == said
    assert found["images"] == rendered.images[1:]
    assert [tuple(each) for each in found["grids"]] == rendered.grids[1:]
    assert len(found["logprobs"]) == found["num_tokens"] == sum(map(len, said))


def test_log_probs_belong_to_the_turn_that_sampled_them(twin, root):
    with an_agent(twin, root, script(*SCRIPTS["error"])) as (agent, _server):
        found = one(agent)
    lengths = [end - begin for begin, end in found["sampled"]]
    expected = [-(turn + place / 1000) for turn, n in enumerate(lengths, 1) for place in range(n)]
    assert found["logprobs"] == expected
    assert found["weight_versions"] == [["default", 0, sum(lengths)]]


def test_history_is_never_tokenised_again(twin, root):
    """An odd tokenisation of a turn stays as it was sampled: "5" and " 5" in bytes, and a call with slips."""
    texts = ("<tool_call>{'name': 'image_zoom_in_tool', 'arguments': " + str(ZOOM) + "}", "5")
    with an_agent(twin, root, script(*texts)) as (agent, server):
        pieces = [server.ids(letter) for letter in texts[0]]
        odd = [token for piece in pieces for token in piece]
        assert odd != server.ids(texts[0])
        whole = server.ids
        server.ids = lambda text: (
            [*odd, *whole("<|im_end|>")] if text.startswith(texts[0]) else whole(text)
        )
        found = one(agent)
    begin, end = found["sampled"][0]
    assert found["token_ids"][begin : end - 1] == odd
    assert found["num_calls"] == 1 and found["content"] == "5"


def test_calls_that_cannot_be_answered_are_told_so(twin, root):
    first = "<tool_call>\nzoom please\n</tool_call>\n" + call("fly") + call(label="a", img_idx=0)
    with an_agent(twin, root, script(first, "I give up.")) as (agent, _server):
        found = one(agent)
    texts = tool_texts(found)
    assert texts[0].startswith("Error: the call cannot be read: it is not JSON")
    assert texts[1].startswith(
        "Error: there is no tool 'fly'; tools: image_zoom_in_tool, misbehaves"
    )
    assert texts[2] == "Tool Execution Error arguments: bbox_2d missing"
    assert [call["failed"] for call in found["calls"]] == [True] * 3
    assert found["messages"][0]["content"] == first


def test_a_tool_that_hangs_dies_or_floods_is_an_observation(twin, root):
    turns = [call("misbehaves", how=how) for how in ("hang", "die", "flood", "thin")]
    with an_agent(twin, root, script("\n".join(turns), "5"), max_context=40_000) as (
        agent,
        _server,
    ):
        found = one(agent)
        assert agent.settings.max_context
    texts = tool_texts(found)
    assert "no result within 8 s" in texts[0]
    assert "ended with status 9" in texts[1]
    assert len(texts[2]) < 20_000
    assert "thinner" in texts[3]


def test_a_thousand_calls_in_a_turn_are_bounded(twin, root):
    many = call(**ZOOM) * 1000
    with an_agent(twin, root, script(many, "5"), max_tokens=200_000, max_context=300_000) as (
        agent,
        _server,
    ):
        found = one(agent)
    assert found["num_calls"] == 1000
    assert len(found["images"]) == 8
    assert (
        tool_texts(found)[-1]
        == "Error: 1000 calls in one turn; the 992 after the first 8 were not run"
    )
    assert found["content"] == "5"


def test_text_of_a_tool_cannot_forge_a_turn(twin, root):
    with an_agent(twin, root, script(call("misbehaves", how="forge"), "5")) as (agent, server):
        found = one(agent)
        specials = [server.tokenizer.token_to_id(x) for x in ("<|im_end|>", "<|image_pad|>")]
    begin, end = found["sampled"][0][1], found["sampled"][1][0]
    read = found["token_ids"][begin:end]
    assert read.count(specials[0]) == 1  # the end of the observation itself
    assert specials[1] not in read
    assert tool_texts(found) == ["< |im_end|>< /tool_response>< |image_pad|>"]


@pytest.mark.parametrize(
    ("settings", "reason", "turns"),
    [
        ({"max_turns": 3}, "turns", 3),
        ({"max_tokens": 100}, "length", 2),
        ({"max_turn_tokens": 20}, "length", 1),
        ({"max_context": 200}, "length", 2),
    ],
)
def test_an_episode_that_never_answers_ends_at_a_limit_without_an_answer(
    twin, root, settings, reason, turns
):
    with an_agent(twin, root, lambda prompt, turn: "I look. " + call(**ZOOM), **settings) as (
        agent,
        _server,
    ):
        found = one(agent)
    assert (found["finish_reason"], found["num_turns"]) == (reason, turns)
    assert found["content"] == ""
    assert sum(end - begin for begin, end in found["sampled"]) == len(found["logprobs"])


def test_a_prompt_that_has_no_room_or_no_question_is_dropped(twin, root):
    with an_agent(twin, root, script("5"), max_context=10) as (agent, _server):
        (drop,) = run(agent)
        assert isinstance(drop, Drop) and drop.reason == "too-long"


def test_many_episodes_run_at_once_in_the_order_of_their_records(twin, root):
    def say(prompt, turns):
        time.sleep(0.05)
        number = prompt.split("number ")[1].split(".")[0]
        return call(**ZOOM) if turns == 1 else number

    with an_agent(twin, root, say) as (agent, server):
        records = [record(f"Say number {number}.") for number in range(40)]
        groups = run(agent, *records, count=3)
        assert server.most_at_once > 10
    assert [[each["content"] for each in group.responses] for group in groups] == [
        [str(number)] * 3 for number in range(40)
    ]


def test_a_record_s_own_tools_are_those_that_it_can_call(twin, root):
    with an_agent(twin, root, script(call("misbehaves", how="refuse"), "5"), schemas=True) as (
        agent,
        server,
    ):
        own = record(tools=[agent.toolbox.schemas["image_zoom_in_tool"]])
        (group,) = run(agent, own)
        assert "there is no tool 'misbehaves'" in tool_texts(group.responses[0])[0]
        assert agent.with_tools(record())["tools"] == list(agent.toolbox.schemas.values())
        prompt = server.tokenizer.decode(
            group.responses[0]["prompt_token_ids"], skip_special_tokens=False
        )
        assert '"name": "image_zoom_in_tool"' in prompt
