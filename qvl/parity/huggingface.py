"""transformers' side: its template, its tokenizer, its image processor, its model, in fp32.

A video's frames are chosen, cut and told the times of by qvl.io: transformers' own video processor needs
torchvision, whose build for a CPU no registry has. tests/engines hold the two beside each other.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qvl.errors import need
from qvl.imports import gc_frozen
from qvl.media import images, video, video_patches

PAD = "<|image_pad|>"


class HuggingFace:
    """The model of a folder, as transformers has it."""

    def __init__(self, model: Path, media_root: Path, *, allow_remote: bool = False) -> None:
        self.folder, self.media_root, self.allow_remote = model, media_root, allow_remote
        with gc_frozen():
            self._load()

    def _load(self) -> None:
        self.torch: Any = need("torch", extra="train")
        transformers: Any = need("transformers", extra="train")
        transformers.utils.logging.disable_progress_bar()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        # The other backend needs torchvision, and rounds its resizing otherwise.
        self.processor = transformers.AutoImageProcessor.from_pretrained(self.folder, backend="pil")
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=self.torch.float32, attn_implementation="sdpa"
        ).eval()

    @property
    def special(self) -> dict[int, str]:
        """The special tokens by their ids."""
        return {number: str(token) for number, token in self.tokenizer.added_tokens_decoder.items()}

    def __call__(self, record: dict[str, Any]) -> tuple[list[int], Any]:
        """The ids of the record's tokens (T,), and the log-probabilities (T - 1,) of all but the
        first. ValueError where the template or the processor refuses it."""
        ids, seen = self.inputs(record["messages"], record.get("tools"))
        with self.torch.no_grad():
            logits = self.model(input_ids=ids, use_cache=False, **seen).logits[0, :-1]
        spoken = logits.float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        return ids[0].tolist(), spoken

    def next_logprobs(self, ids: Any, seen: dict[str, Any]) -> Any:
        """(V,): of the token after `inputs`."""
        with self.torch.no_grad():
            out = self.model(input_ids=ids, use_cache=False, logits_to_keep=1, **seen)
        return out.logits[0, -1].float().log_softmax(-1)

    def prompt(self, messages: list[dict], tools: list | None) -> list[int]:
        """The ids of some turns with one pad for each image and each video."""
        text = self._rendered(messages, tools)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def inputs(self, messages: list[dict], tools: list | None) -> tuple[Any, dict[str, Any]]:
        """The ids (1, T) of some turns, and the model's other inputs."""
        torch = self.torch
        text = self._rendered(messages, tools)
        pictures = [
            images.load(reference, self.media_root, allow_remote=self.allow_remote)
            for reference in _references(messages, "image")
        ]
        clips = [
            video.read(reference, self.media_root, allow_remote=self.allow_remote)
            for reference in _references(messages, "video")
        ]
        seen: dict[str, Any] = {}
        if pictures:
            seen = dict(self.processor(images=pictures, return_tensors="pt"))
            counts = iter((seen["image_grid_thw"].prod(1) // self.processor.merge_size**2).tolist())
            text = re.sub(re.escape(PAD), lambda _: PAD * next(counts), text)
        if clips:
            cut = [self._videos.patches(clip) for clip in clips]
            seen["pixel_values_videos"] = torch.cat([torch.from_numpy(each) for each, _ in cut])
            seen["video_grid_thw"] = torch.tensor([grid for _, grid in cut])
            marks = (
                self._videos.marks(clip, grid) for clip, (_, grid) in zip(clips, cut, strict=True)
            )
            text = re.sub(re.escape(video_patches.PAD), lambda _: next(marks), text)
        ids = torch.tensor([self.tokenizer(text, add_special_tokens=False)["input_ids"]])
        if seen:
            image, clip = self.tokenizer.convert_tokens_to_ids([PAD, video_patches.PAD])
            seen["mm_token_type_ids"] = (ids == image).int() + 2 * (ids == clip).int()
        return ids, seen

    def _rendered(self, messages: list[dict], tools: list | None) -> str:
        return self.tokenizer.apply_chat_template(
            messages,
            tools=tools or None,
            tokenize=False,
            add_generation_prompt=messages[-1]["role"] != "assistant",
        )

    @functools.cached_property
    def _videos(self) -> video_patches.VideoRules:
        return video_patches.load_rules(self.folder)


def _references(messages: list[dict], kind: str) -> Iterator[Any]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from (part[kind] for part in message["content"] if part.get("type") == kind)
