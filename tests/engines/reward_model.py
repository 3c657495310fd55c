"""A scalar reward model of Qwen3-VL's shape, made of the twin, and what transformers says of it."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from qvl.tiny import model

HEAD = "score.weight"


def write_reward_model(folder: Path) -> Path:
    """The twin with a head of one value in place of the vocabulary's. transformers has no class for
    it, so that the head lies where vLLM looks for it."""
    folder.mkdir()
    model.write(folder, "xs", moe=False, thinking=False, seed=0)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {
        "architectures": ["Qwen3VLForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": "reward"},
        "tie_word_embeddings": False,
    }
    config["text_config"]["tie_word_embeddings"] = False
    config["text_config"] |= {"num_labels": 1, "id2label": {"0": "reward"}}
    path.write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    weights.pop("lm_head.weight", None)
    width = config["text_config"]["hidden_size"]
    generator = torch.Generator().manual_seed(7)
    weights[HEAD] = torch.randn(1, width, generator=generator).to(
        next(iter(weights.values())).dtype
    )
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Reference:
    """Its score by transformers: the head on the last token's hidden state, in fp32."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer
        from transformers.models.qwen3_vl import Qwen3VLConfig, Qwen3VLModel

        config = Qwen3VLConfig.from_pretrained(folder)
        weights = load_file(folder / "model.safetensors")
        self.head = weights.pop(HEAD).float()
        self.model: Any = Qwen3VLModel(config).float().eval()
        names = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        self.model.load_state_dict(names)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.pad = config.image_token_id

    @torch.no_grad()
    def score(self, messages: list[dict], images: list[Any]) -> float:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        seen: dict[str, Any] = {}
        if images:
            seen = dict(self.processor(images=images, return_tensors="pt"))
            sizes = iter((seen["image_grid_thw"].prod(-1) // 4).tolist())
            pad = self.tokenizer.convert_ids_to_tokens(self.pad)
            pieces = text.split(pad)
            text = pieces[0] + "".join(pad * next(sizes) + piece for piece in pieces[1:])
        ids = torch.tensor([self.tokenizer(text, add_special_tokens=False)["input_ids"]])
        if images:
            seen["mm_token_type_ids"] = (ids == self.pad).int()
        hidden = self.model(input_ids=ids, use_cache=False, **seen).last_hidden_state
        return float(hidden[0, -1] @ self.head[0])
