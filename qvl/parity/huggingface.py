"""transformers' side: its template, tokenizer, image processor and model, in fp32.

qvl.media samples and processes the frames of videos, because transformers' video processor needs
torchvision, which no registry has for CPUs. tests/engines compare the two.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qvl.errors import need
from qvl.imports import gc_frozen
from qvl.media import images, video, video_patches
from qvl.pack.template import sound

PAD = "<|image_pad|>"


class HuggingFace:
    """The model of a folder in transformers."""

    def __init__(self, model: Path, media_root: Path, *, allow_remote: bool = False) -> None:
        self.folder, self.media_root, self.allow_remote = model, media_root, allow_remote
        with gc_frozen():
            self._load()

    def _load(self) -> None:
        self.torch: Any = need("torch", extra="train")
        transformers: Any = need("transformers", extra="train")
        transformers.utils.logging.disable_progress_bar()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        # The other backend needs torchvision, and rounds differently when resizing.
        self.processor = transformers.AutoImageProcessor.from_pretrained(self.folder, backend="pil")
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=self.torch.float32, attn_implementation="sdpa"
        ).eval()

    @property
    def special(self) -> dict[int, str]:
        """The special tokens, by id."""
        return {number: str(token) for number, token in self.tokenizer.added_tokens_decoder.items()}

    def __call__(self, record: dict[str, Any]) -> tuple[list[int], Any]:
        """The ids of the record's tokens (T,), and the log-probabilities (T - 1,) of all but the first.

        ValueError if the template or the processor refuses the record.
        """
        ids, media = self.inputs(record["messages"], record.get("tools"))
        with self.torch.no_grad():
            logits = self.model(input_ids=ids, use_cache=False, **media).logits[0, :-1]
        logprobs = logits.float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        return ids[0].tolist(), logprobs

    def next_logprobs(self, ids: Any, media: dict[str, Any]) -> Any:
        """The log-probabilities of the token after `ids`, (V,)."""
        with self.torch.no_grad():
            out = self.model(input_ids=ids, use_cache=False, logits_to_keep=1, **media)
        return out.logits[0, -1].float().log_softmax(-1)

    def prompt(self, messages: list[dict], tools: list | None) -> list[int]:
        """The ids of some messages, with one pad per image and per video."""
        text = self._rendered(messages, tools)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def inputs(self, messages: list[dict], tools: list | None) -> tuple[Any, dict[str, Any]]:
        """The ids of some messages (1, T), and the model's inputs for images and videos."""
        torch = self.torch
        text = self._rendered(messages, tools)
        pictures = [
            images.load(reference, self.media_root, allow_remote=self.allow_remote)
            for reference in _references(messages, "image")
        ]
        clips = [
            video.read(
                reference,
                self.media_root,
                allow_remote=self.allow_remote,
                fit=self._videos.fit,
            )
            for reference in _references(messages, "video")
        ]
        media: dict[str, Any] = {}
        if pictures:
            media = dict(self.processor(images=pictures, return_tensors="pt"))
            counts = iter(
                (media["image_grid_thw"].prod(1) // self.processor.merge_size**2).tolist()
            )
            text = re.sub(re.escape(PAD), lambda _: PAD * next(counts), text)
        if clips:
            videos = [self._videos.patches(clip) for clip in clips]
            media["pixel_values_videos"] = torch.cat([torch.from_numpy(each) for each, _ in videos])
            media["video_grid_thw"] = torch.tensor([grid for _, grid in videos])
            marks = (
                self._videos.marks(clip, grid)
                for clip, (_, grid) in zip(clips, videos, strict=True)
            )
            text = re.sub(re.escape(video_patches.PAD), lambda _: next(marks), text)
        ids = torch.tensor([self.tokenizer(text, add_special_tokens=False)["input_ids"]])
        if media:
            image, clip = self.tokenizer.convert_tokens_to_ids([PAD, video_patches.PAD])
            media["mm_token_type_ids"] = (ids == image).int() + 2 * (ids == clip).int()
        return ids, media

    def _rendered(self, messages: list[dict], tools: list | None) -> str:
        return self.tokenizer.apply_chat_template(
            sound(messages),
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
