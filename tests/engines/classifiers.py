"""Tiny reward models for text and images, and the scores of transformers for the same conversations."""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from qvl.tiny import model, tokenizer
from qvl.tiny.config import HEAD_DIM, PADDED_VOCABULARY

STD = 0.5  # of the head: scores differ between conversations


def write_text(folder: Path) -> Path:
    """A Qwen3ForSequenceClassification with one label and random weights.

    score.bias is for SGLang: its head has one, which stays random if the file has none.
    """
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=PADDED_VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=HEAD_DIM,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.ident("<|endoftext|>"),
        eos_token_id=tokenizer.ident("<|im_end|>"),
        tie_word_embeddings=False,
    )
    config.num_labels = 1
    classifier = Qwen3ForSequenceClassification(config)
    torch.nn.init.normal_(classifier.score.weight, std=STD)
    classifier.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = {**load_file(path), "score.bias": torch.zeros(1)}
    save_file(weights, path, metadata={"format": "pt"})
    tokenizer.write(folder)
    (folder / "chat_template.jinja").write_text(model.template("instruct"))
    return folder


def write_visual(folder: Path) -> Path:
    """The twin with a score head instead of its output layer, as vLLM reads it."""
    model.write(folder, "xs", moe=False, thinking=False, seed=0)
    path = folder / "model.safetensors"
    weights = {name: of for name, of in load_file(path).items() if not name.startswith("lm_head")}
    hidden = weights["model.language_model.norm.weight"].shape[0]
    generator = torch.Generator().manual_seed(1)
    weights["score.weight"] = torch.randn(1, hidden, generator=generator) * STD
    save_file(weights, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_bytes())
    label = {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}}
    config |= {"architectures": ["Qwen3VLForSequenceClassification"], **label}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Classifier:
    """transformers on the same checkpoint, in fp32."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.folder = folder

    def ids(self, messages: list[dict]) -> torch.Tensor:
        words = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return self.tokenizer(words, add_special_tokens=False, return_tensors="pt")["input_ids"]

    @torch.no_grad()
    def text(self, messages: list[dict]) -> float:
        from transformers import Qwen3ForSequenceClassification

        classifier = Qwen3ForSequenceClassification.from_pretrained(self.folder).float().eval()
        return classifier(input_ids=self.ids(messages)).logits.item()

    @torch.no_grad()
    def visual(self, messages: list[dict], image: Image.Image) -> float:
        """messages have one part of type image, which `image` is."""
        from transformers import AutoImageProcessor, Qwen3VLModel

        processor: Any = AutoImageProcessor.from_pretrained(self.folder, backend="pil")
        tower: Any = Qwen3VLModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        cut = processor([image], return_tensors="pt")
        pad = tower.config.image_token_id
        count = int(cut["image_grid_thw"].prod()) // 4
        ids = [
            each
            for token in self.ids(messages)[0].tolist()
            for each in [token] * (count if token == pad else 1)
        ]
        full = torch.tensor([ids])
        hidden = tower(
            input_ids=full,
            attention_mask=torch.ones_like(full),
            mm_token_type_ids=(full == pad).long(),
            **cut,
        ).last_hidden_state
        head = load_file(self.folder / "model.safetensors")["score.weight"]
        return (hidden[0, -1] @ head[0]).item()
