"""Tiny checkpoints: how transformers reads them, and the engines' requirements of the files.

vLLM and SGLang themselves are not started here.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from shells import shell
from tokenizers import Tokenizer
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from qvl.media.patches import load_rules
from qvl.tiny import config, model, tokenizer
from qvl.tiny.config import PADDED_VOCABULARY, SIZES

FILES = {
    "config.json",
    "model.safetensors",
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
}


@pytest.fixture(scope="module", params=["dense", "moe"])
def folder(request, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp(request.param)
    model.write(target, "xs", moe=request.param == "moe", thinking=False, seed=0)
    return target


def test_the_folder_holds_what_a_release_holds(folder):
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("xxs", 482_912), ("xs", 1_108_288), ("s", 2_645_824), ("m", 4_807_040)],
)
def test_the_sizes_are_those_of_the_measured_twin(size, parameters):
    built = model.build(SIZES[size], moe=False, seed=0)
    assert sum(weight.numel() for weight in built.parameters()) == parameters


def test_transformers_reads_back_every_weight(folder):
    moe = "num_experts" in json.loads((folder / "config.json").read_text())["text_config"]
    read = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    built = model.build(SIZES["xs"], moe=moe, seed=0)
    assert type(read) is type(built)
    weights = read.state_dict()
    assert weights.keys() == built.state_dict().keys()
    for name, weight in built.state_dict().items():
        assert torch.equal(weights[name], weight), name


def test_a_seed_fixes_the_weights():
    def bits(seed: int) -> str:
        built = model.build(SIZES["xxs"], moe=False, seed=seed)
        return hashlib.sha256(
            b"".join(weight.numpy().tobytes() for weight in built.state_dict().values())
        ).hexdigest()

    assert bits(1) == bits(1) != bits(2)


def test_it_sees_images_and_answers(folder):
    read: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    logits = []
    for colour in ("red", "blue"):
        cut = processor([Image.new("RGB", (96, 64), colour)], return_tensors="pt")
        assert cut["image_grid_thw"].tolist() == [[1, 4, 6]]
        text = words.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids = words(text.replace("<|image_pad|>", "<|image_pad|>" * 6), return_tensors="pt")
        kinds = (ids["input_ids"] == read.config.image_token_id).int()
        positions, _ = read.model.get_rope_index(
            ids["input_ids"], kinds, image_grid_thw=cut["image_grid_thw"]
        )
        first = ids["input_ids"][0].tolist().index(read.config.image_token_id)
        places = (positions[:, 0, first : first + 6] - first).tolist()
        assert places == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]
        inputs = {**ids, **cut, "mm_token_type_ids": kinds}
        with torch.no_grad():
            logits.append(read(**inputs).logits[0, -1])
        answer = read.generate(**inputs, max_new_tokens=3, do_sample=False)
        assert ids["input_ids"].shape[1] < answer.shape[1] <= ids["input_ids"].shape[1] + 3
    assert torch.isfinite(logits[0]).all()
    assert (logits[0] - logits[1]).abs().max() > 1e-3


# torchvision from a package index has a compiled half that does not load beside a CPU build of
# torch. Two operators of it are named at import, none is called: declaring them is enough.
PROCESS = """
import sys, torch
if torch.version.cuda is None:
    half = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        half.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1])
parts = [{"type": "image", "image": Image.new("RGB", (64, 64))}, {"type": "text", "text": "?"}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": parts}],
    tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt",
)
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32)
assert (inputs["input_ids"] == model.config.image_token_id).sum() == 4
print(model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[0])
video = processor.video_processor
print(type(video).__name__, video.patch_size, video.merge_size, video.size["shortest_edge"])
"""


def test_transformers_makes_one_processor_of_it(folder):
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed; AutoProcessor needs it for videos")
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, folder], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["1", "Qwen3VLVideoProcessor 16 2 2048"], done.stderr


def test_qvl_reads_the_image_rules(folder):
    rules = load_rules(folder)
    assert rules.num_tokens(rules.grid(64, 64)) == 4
    assert rules.num_tokens(rules.grid(8, 8)) == 1


def test_the_tokenizer_is_a_small_one_of_qwen(folder):
    words = AutoTokenizer.from_pretrained(folder)
    assert type(words).__name__ == "Qwen2Tokenizer"
    assert len(words) == tokenizer.VOCABULARY == 506
    assert (words.eos_token, words.pad_token, words.bos_token) == (
        "<|im_end|>",
        "<|endoftext|>",
        None,
    )
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in [
        "What is 12 + 34?",
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Hi\n\n<|im_end|>\n",
        "<think>\n5+3=8\n</think>\n\n8",
        "你好, über naïve 😀 \r\n\t  x's",
    ]:
        ids = words(text)["input_ids"]
        assert ids == plain.encode(text).ids
        assert words.decode(ids) == text
    assert len(plain.encode("2025").ids) == 4
    assert words.decode(words("<|im_start|><think>a")["input_ids"], skip_special_tokens=True) == (
        "<think>a"
    )


def test_an_image_has_at_most_as_many_tokens_as_asked(tmp_path):
    written = (tmp_path / "preprocessor_config.json").write_text
    for most, tokens in ((9, 9), (256, 144), (100, 100)):
        written(json.dumps(config.image_processor(most)))
        rules = load_rules(tmp_path)
        assert rules.num_tokens(rules.grid(384, 384)) == tokens


def test_the_tokenizer_is_the_same_everywhere(folder):
    # A new release of `tokenizers` that merges otherwise would make old checkpoints unreadable.
    merges = (folder / "merges.txt").read_bytes()
    assert hashlib.sha256(merges).hexdigest() == MERGES


MERGES = "f66ad9418d7a910a683dea9b59eff68c075539b76aa09e3a61efe44806ccef10"


def test_the_files_meet_the_requirements_of_the_engines(folder):
    config = json.loads((folder / "config.json").read_text())
    text, vision = config["text_config"], config["vision_config"]
    # vLLM on a CPU: "Unsupported CPU attention configuration: head_dim=16".
    assert text["head_dim"] in (32, 48, 64, 128)
    assert sum(text["rope_parameters"]["mrope_section"]) == text["head_dim"] // 2
    assert text["rope_parameters"]["mrope_interleaved"]
    assert len(vision["deepstack_visual_indexes"]) <= text["num_hidden_layers"]
    assert vision["out_hidden_size"] == text["hidden_size"]
    # Sampled ids of the padding decode to nothing; an id beyond it stops SGLang for good.
    assert tokenizer.VOCABULARY <= text["vocab_size"] == PADDED_VOCABULARY
    assert "num_local_experts" not in text
    assert "rope_parameters" not in vision
    for name in ("image", "video", "vision_start", "vision_end"):
        token = f"<|{name}|>" if name.startswith("vision") else f"<|{name}_pad|>"
        assert config[f"{name}_token_id"] == tokenizer.ident(token)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "Qwen2Tokenizer"
    video = json.loads((folder / "video_preprocessor_config.json").read_text())
    assert video["video_processor_type"] == "Qwen3VLVideoProcessor"
    if "num_experts" in text:
        experts, hidden, inner = (
            text["num_experts"],
            text["hidden_size"],
            text["moe_intermediate_size"],
        )
        assert hidden not in (inner, 2 * inner)  # a square expert hides a transposed one
        with safe_open(folder / "model.safetensors", "pt") as file:
            prefix = "model.language_model.layers.0.mlp.experts."
            shapes = [
                file.get_slice(prefix + name).get_shape() for name in ("gate_up_proj", "down_proj")
            ]
        assert shapes == [[experts, hidden, 2 * inner], [experts, inner, hidden]]


def test_thinking_checkpoints_open_with_a_thought(tmp_path):
    model.write(tmp_path, "xxs", moe=False, thinking=True, seed=0)
    words = AutoTokenizer.from_pretrained(tmp_path)
    text = words.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>assistant\n<think>\n")


def test_a_folder_is_not_overwritten_by_mistake(tmp_path):
    sh = shell(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    done = sh("qvl tiny model thesis --size xxs")
    assert done.returncode == 2
    assert "not empty; replace it with --force" in done.stderr
    done = sh("qvl tiny model thesis --size xxs --force")
    assert done.returncode == 2
    assert "it has no config.json" in done.stderr
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"thesis"}


def test_the_command_writes_replaces_and_reports(tmp_path):
    sh = shell(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    (tmp_path / "old" / "notes.txt").write_text("")
    done = sh("qvl tiny model old --size xxs --moe --force")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "qvl tiny model: old: MoE, 0.87 million parameters\n"
    assert {path.name for path in tmp_path.iterdir()} == {"old"}
    assert {path.name for path in (tmp_path / "old").iterdir()} == FILES


def test_an_unknown_size_is_named(tmp_path):
    done = shell(tmp_path)("qvl tiny model x --size xl")
    assert (done.returncode, "expected one of xxs, xs, s, m" in done.stderr) == (2, True)


def test_a_deeper_twin_has_the_requested_layers(tmp_path):
    model.write(tmp_path, "xxs", moe=False, thinking=False, seed=0, layers=6)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = [name for name in file.keys() if "language_model.layers." in name]  # noqa: SIM118
    assert {int(name.split(".")[3]) for name in names} == set(range(6))
    done = shell(tmp_path)("qvl tiny model shallow --layers 2")
    assert (done.returncode, "DeepStack needs at least 3" in done.stderr) == (2, True)
    assert not (tmp_path / "shallow").exists()
