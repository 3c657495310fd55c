"""A tiny Qwen3-VL of random weights, and one server of it for the whole of the tests."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
SPECIAL = ["endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad"]
SPECIAL = [f"<|{name}|>" for name in [*SPECIAL, "video_pad"]]
TEMPLATE = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}
{%- if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}
{%- if p.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ p.text }}
{%- endif %}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def make_tokenizer() -> Any:
    """Bytes, the special tokens, and nothing learnt."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_checkpoint(folder: Path) -> Path:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    ident: Any = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5]}
    text = {
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "rope_parameters": {**rope, "mrope_interleaved": True},
        "eos_token_id": ident("<|im_end|>"),
        "pad_token_id": None,
        "bos_token_id": None,
    }
    vision = {
        "depth": 3,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "out_hidden_size": 128,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1, 2],
    }
    config = transformers.Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ident("<|image_pad|>"),
        video_token_id=ident("<|video_pad|>"),
        vision_start_token_id=ident("<|vision_start|>"),
        vision_end_token_id=ident("<|vision_end|>"),
    )
    torch.manual_seed(0)
    model: Any = transformers.Qwen3VLForConditionalGeneration(config).float()
    with torch.no_grad():  # wide enough that no two tokens nearly tie
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 1.5 / math.sqrt(weight[0].numel()))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "Qwen2VLImageProcessor",
                "patch_size": 16,
                "temporal_patch_size": 2,
                "merge_size": 2,
                "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3,
                "size": {"shortest_edge": 1024, "longest_edge": 262144},
            }
        )
    )
    return folder


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("twin") / "twin")


class Served:
    """A `qvl serve` that runs; `facts` is the line that it printed."""

    def __init__(self, *words: object, **env: str) -> None:
        self.process = subprocess.Popen(
            [BIN / "qvl", "serve", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": f"{BIN}:/usr/bin:/bin", "OMP_NUM_THREADS": "1", **env},
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.facts: dict[str, Any] = json.loads(line)
        self.url: str = self.facts["endpoint"]

    def stop(self, number: int = 15) -> tuple[int, str]:
        """The exit status and what was said on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media root with two images of noise."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("media")
    for name, size in (("small.png", (64, 64)), ("wide.png", (128, 64))):
        Image.effect_noise(size, 80).convert("RGB").save(folder / name)
    return folder


@pytest.fixture(scope="session")
def served(twin: Path, media: Path) -> Any:
    server = Served(twin, "--port", 0, "--media-root", media)
    yield server
    assert server.stop()[0] == 143
