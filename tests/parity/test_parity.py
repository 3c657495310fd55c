"""`qvl parity`: equal models are equal, and what differs is found and named."""

import json
import re
import shutil
from contextlib import contextmanager
from importlib import import_module

import pytest
import torch
import videos
from PIL import Image
from safetensors.torch import load_file, save_file
from shells import shell

from qvl.errors import CheckFailed
from qvl.io import jsonl
from qvl.pack.render import Renderer
from qvl.parity import compare, records
from qvl.parity.huggingface import HuggingFace
from qvl.parity.megatron import Megatron
from qvl.tiny import data, model

session = import_module("qvl.cli.session").session

IMAGES, VIDEOS = "preprocessor_config.json", "video_preprocessor_config.json"
TOOL = {"type": "function", "function": {"name": "zoom", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "zoom", "arguments": {"x": 1}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A twin that two tensor-parallel ranks can share, one with experts, and records."""
    made = tmp_path_factory.mktemp("parity")
    for name, moe in (("twin", False), ("moe", True)):
        (made / name).mkdir()
        model.write(made / name, "s", moe=moe, thinking=False, seed=0)
    data.write(made, data.DataPlan(names=["digit", "add"], train=2, test=4, defect_share=0))
    records = list(jsonl.read(str(made / "test.jsonl.zst")))
    pictures = [part for each in records for part in data_parts(each) if part["type"] == "image"]
    several = [*pictures[:2], {"type": "text", "text": "Which is larger?"}]
    turns = [
        {"role": "user", "content": [pictures[0], {"type": "text", "text": "Look closer."}]},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "done"},
        {"role": "assistant", "content": "It is a seven."},
    ]
    records += [
        {"id": "several", "messages": [{"role": "user", "content": several}]},
        {"id": "tool", "messages": turns, "tools": [TOOL]},
    ]
    videos.write(made / "a.mp4", 40)  # 4 seconds
    write_frames(made, 0)
    watched = [
        {"id": "file", "messages": about({"type": "video", "video": "a.mp4"})},
        {"id": "frames", "messages": about({"type": "video", "video": "frames"})},
        {
            "id": "mixed",
            "messages": about(
                {"type": "video", "video": [f"frames/{i}.png" for i in (3, 1, 2)]},
                pictures[0],
                {"type": "video", "video": "a.mp4"},
            ),
        },
    ]
    jsonl.write(watched, str(made / "videos.jsonl.zst"))
    jsonl.write([*records, *watched], str(made / "records.jsonl.zst"))
    return made


def about(*parts):
    question = {"role": "user", "content": [*parts, {"type": "text", "text": "What happens?"}]}
    return [question, {"role": "assistant", "content": "A square moves."}]


def write_frames(made, first):
    """A folder of five frames, from the `first` on."""
    (made / "frames").mkdir(exist_ok=True)
    for i in range(5):
        shown = videos.frame(i + first, 100, 70, seed=i + first)
        Image.fromarray(shown).save(made / "frames" / f"{i}.png")


def data_parts(record):
    content = record["messages"][0]["content"]
    return content if isinstance(content, list) else []


def test_the_examples_run(folder, command_module):
    for line in re.findall(r"^ *\$ (.+)$", command_module("parity").command.__doc__, re.M):
        done = shell(folder)(line, OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "layout"), [("twin", "tp=2,pp=2,cp=2"), ("moe", "ep=2")])
def test_text_images_videos_and_tool_calls_are_equal(folder, name, layout):
    words = f"--layout {layout}" if layout else ""
    done = shell(folder)(
        f"qvl parity {name} {words} records.jsonl.zst -o out.zst", OMP_NUM_THREADS="1"
    )
    assert done.returncode == 0, done.stderr
    rows = {each["id"]: each["scores"]["parity"] for each in jsonl.read(str(folder / "out.zst"))}
    assert {"several", "tool", "file", "frames", "mixed"} <= set(rows)
    assert {kind for row in rows.values() for kind in row} == {*compare.CLASSES} - {compare.NEXT}
    assert all(each["largest"] < 1e-5 for row in rows.values() for each in row.values())


def corrupt_template(other):
    path = other / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|im_start|>", "<|im_start|> "))


@contextmanager
def edited(path):
    """The JSON of a file, written back as it was changed."""
    config = json.loads(path.read_text())
    yield config
    path.write_text(json.dumps(config))


def corrupt_means(name):
    def corrupt(other):
        with edited(other / name) as config:
            config["image_mean"] = [0.4, 0.5, 0.5]

    return corrupt


def corrupt_sizes(name, times):
    def corrupt(other):
        with edited(other / name) as config:
            config["size"]["shortest_edge"] *= times

    return corrupt


def corrupt_rope(other):
    with edited(other / "config.json") as config:
        text = config["text_config"]
        rope = text.get("rope_parameters") or text["rope_scaling"]
        # The last frequencies of a section turn too slowly for small images to show them.
        rope["mrope_section"] = [sum(rope["mrope_section"]) - 2, 1, 1]


def corrupt_one_tensor(other):
    path = other / "model.safetensors"
    tensors = load_file(path)
    name = "model.language_model.layers.1.self_attn.k_proj.weight"
    tensors[name] = torch.roll(tensors[name], 1, 0)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("corrupt", "expected"),
    [
        (corrupt_template, "token "),
        (corrupt_means(IMAGES), r"at token \d+, (after-image|special)"),
        (corrupt_sizes(IMAGES, 16), "token "),
        (corrupt_means(VIDEOS), "'file': .*at token"),
        (corrupt_sizes(VIDEOS, 64), "'file': token "),
        (corrupt_rope, "at token"),
        (corrupt_one_tensor, "at token"),
    ],
)
def test_a_corrupted_model_is_found(folder, tmp_path, corrupt, expected):
    shutil.copytree(folder / "twin", tmp_path / "other")
    corrupt(tmp_path / "other")
    line = f"qvl parity twin --against {tmp_path}/other records.jsonl.zst | zstdcat > /dev/null"
    done = shell(folder)(line, OMP_NUM_THREADS="1")
    assert done.returncode == 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "records differ by more than 0.0001; the first: record" in last
    assert re.search(expected, last)


def at_another_rate(root):
    videos.write(root / "a.mp4", 40, fps=5)


def from_a_later_frame_on(root):
    write_frames(root, 1)


OTHER_FRAMES = [  # how one side may read other frames, and the reported difference
    (at_another_rate, "'file': token "),
    (from_a_later_frame_on, "'frames': .*at token"),
]


def copy_media(folder, root):
    shutil.copy(folder / "a.mp4", root)
    for name in ("frames", "images"):
        shutil.copytree(folder / name, root / name)


@pytest.mark.parametrize(("corrupt", "expected"), OTHER_FRAMES)
def test_differently_sampled_frames_are_found(folder, tmp_path, corrupt, expected):
    copy_media(folder, tmp_path)
    corrupt(tmp_path)
    totals = compare.Differences(compare.TOLERANCE)
    theirs = HuggingFace(folder / "twin", folder)
    ours = Megatron(model=str(folder / "twin"), layout="", media_root=str(tmp_path))
    render = Renderer(folder / "twin", media_root=tmp_path)
    with session("parity", [str(folder / "videos.jsonl.zst")], str(tmp_path / "out")) as run:
        run.write(records.compared(run, theirs, ours, render, totals))
    with pytest.raises(CheckFailed, match=expected):
        totals.check()


def test_nan_is_not_agreement():
    totals = compare.Differences(1.0)
    totals.add("a", ["text"], [float("nan")], [0.0])
    assert totals.over == 1
