"""A Qwen3-VL checkpoint folder as a model, a tokenizer and an image processor; messages to prompts.

Prompts are rendered by the tokenizer's chat template, images preprocessed by the checkpoint's image
processor (its PIL form, which does not need torchvision), positions computed by the model's own
get_rope_index.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from qvl.engines.serving import launch
from qvl.engines.weights import FIRST_VERSION
from qvl.errors import UserError
from qvl.media import pads, video, video_patches

MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")
STEP_ROWS = 16  # of a step that is measured to choose the number of threads: our choice
LOGITS_TOKENS = 512  # tokens whose logits are in memory at a time


@dataclass(frozen=True)
class PreparedPrompt:
    """A prompt of T tokens with the model's other inputs."""

    ids: list[int]
    positions: torch.Tensor  # (3, T) rows of time, height and width
    next_position: int  # of the first token of the completion
    pixels: torch.Tensor | None  # (patches, 3 * 2 * 16 * 16)
    grids: torch.Tensor | None  # (images, 3) in patches
    video_pixels: torch.Tensor | None  # as those of images
    video_grids: torch.Tensor | None
    key: bytes  # equal for equal prompts, whose prefill is shared


class Checkpoint:
    """A loaded folder. UserError if it is not a checkpoint that can be served.

    dtype: "auto" is fp32 on a CPU, where bf16 is slower, and the checkpoint's own on a GPU.
    """

    def __init__(self, folder: Path, dtype: str = "auto") -> None:
        self.folder, self.dtype = folder, dtype
        self.version = FIRST_VERSION
        _check_model_type(folder)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = _load_model(folder, self.device, dtype)
        self.tokenizer: Any = _load(folder, "tokenizer", transformers.AutoTokenizer)
        if not self.tokenizer.chat_template:
            raise UserError(f"{folder}: no chat template; add the model's chat_template.jinja")
        self.image_processor: Any = None
        if (folder / "preprocessor_config.json").exists():
            self.image_processor = _load(
                folder, "image processor", transformers.AutoImageProcessor, backend="pil"
            )
        config: Any = self.model.config
        self.image_token: int = config.image_token_id
        self.video_token: int = config.video_token_id
        self.width: int = config.text_config.hidden_size
        self.max_positions: int = config.text_config.max_position_embeddings
        self.merge: int = config.vision_config.spatial_merge_size
        self.end_tokens = self._find_end_tokens()
        self.banned = self._find_banned_tokens(config.text_config.vocab_size)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one token of STEP_ROWS rows, as a step of decoding does but for the cache."""
        ids = torch.zeros((STEP_ROWS, 1), dtype=torch.long, device=self.device)
        self.model(input_ids=ids, use_cache=False)

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, without special tokens."""
        return self.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True)

    def prepare_chat(
        self,
        messages: list[dict],
        tools: list[dict] | None,
        load_image: Callable[[str], Any],
        load_video: Callable[[Any], video.Clip],
    ) -> PreparedPrompt:
        """Render, tokenise and prepare `messages`; the loaders return the image or clip of a reference."""
        parts = [
            part
            for message in messages
            if isinstance(message.get("content"), list)
            for part in message["content"]
        ]
        pictures = [load_image(part["image"]) for part in parts if part["type"] == "image"]
        clips = [load_video(part["video"]) for part in parts if part["type"] == "video"]
        rendered = self.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        return self.prepare(self._tokens(rendered), pictures, clips)

    def prepare(
        self, ids: list[int], pictures: list[Any], clips: list[video.Clip]
    ) -> PreparedPrompt:
        """Expand token ids that hold one <|image_pad|> per picture and one <|video_pad|> per clip."""
        pixels, grids = self._patches(pictures)
        video_pixels, video_grids, marks = self._video_patches(clips)
        sizes = [] if grids is None else (grids.prod(-1) // self.merge**2).tolist()
        try:
            (ids,) = pads.expand(
                [ids],
                pads.PadItems("image", self.image_token, sizes, self._image_pads),
                pads.PadItems("video", self.video_token, marks, self._tokens),
            )
        except pads.PadMismatch as error:
            raise UserError(
                f"{error}: a message's text must not hold <|image_pad|> or <|video_pad|>"
            ) from None
        tokens = torch.tensor([ids])
        if grids is None and video_grids is None:  # of text all three rows count up
            positions = torch.arange(len(ids)).expand(3, -1)
        else:
            kinds = (tokens == self.image_token).int() + 2 * (tokens == self.video_token).int()
            positions, _ = self.model.model.get_rope_index(
                tokens, kinds, image_grid_thw=grids, video_grid_thw=video_grids
            )
            positions = positions[:, 0]  # (3, T)
        digest = hashlib.blake2b(tokens.numpy().tobytes(), digest_size=16)
        for seen in (pixels, video_pixels):
            if seen is not None:
                digest.update(seen.numpy().tobytes())
        return PreparedPrompt(
            ids,
            positions,
            int(positions.max()) + 1,
            pixels,
            grids,
            video_pixels,
            video_grids,
            digest.digest(),
        )

    def _video_patches(
        self, clips: list[video.Clip]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, list[str]]:
        """The patches and grids of clips, and the text that the pad of each becomes."""
        if not clips:
            return None, None, []
        rules = video_patches.load_rules(self.folder)
        try:
            found = [rules.patches(clip) for clip in clips]
        except ValueError as error:
            raise UserError(f"video: {error}") from None
        pixels = torch.cat([torch.from_numpy(patches) for patches, _ in found])
        marks = [rules.marks(clip, grid) for clip, (_, grid) in zip(clips, found, strict=True)]
        return pixels, torch.tensor([grid for _, grid in found]), marks

    def _image_pads(self, count: int) -> list[int]:
        return [self.image_token] * count

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def read_weights(self, folder: Path) -> Any:
        """The model of another folder with the same shapes, for set_weights."""
        return _load_model(folder, self.device, self.dtype)

    def set_weights(self, model: Any, folder: Path, version: str) -> None:
        """Serve the weights of `model` from now on; to be called while no row decodes."""
        self.model, self.folder, self.version = model, folder, version

    @torch.inference_mode()
    def prompt_logprobs(
        self, prompt: PreparedPrompt, top: int
    ) -> list[tuple[float, list[tuple[int, float]]]]:
        """The log-prob of each token but the first, and the `top` most likely tokens in its position."""
        seen: dict[str, Any] = {}
        if prompt.pixels is not None and prompt.grids is not None:
            seen["pixel_values"] = prompt.pixels.to(self.device)
            seen["image_grid_thw"] = prompt.grids.to(self.device)
        if prompt.video_pixels is not None and prompt.video_grids is not None:
            seen["pixel_values_videos"] = prompt.video_pixels.to(self.device)
            seen["video_grid_thw"] = prompt.video_grids.to(self.device)
        ids = torch.tensor([prompt.ids], device=self.device)
        positions = prompt.positions[:, None].to(self.device)
        out = self.model.model(input_ids=ids, position_ids=positions, use_cache=False, **seen)
        found = []
        for begin in range(0, len(prompt.ids) - 1, LOGITS_TOKENS):
            end = min(begin + LOGITS_TOKENS, len(prompt.ids) - 1)
            logits = self.model.lm_head(out.last_hidden_state[0, begin:end])
            precise = torch.promote_types(logits.dtype, torch.float32)
            rows = logits.log_softmax(-1, dtype=precise).float()  # (tokens, V)
            chosen = rows.gather(-1, ids[0, begin + 1 : end + 1, None])[:, 0].tolist()
            values, tokens = rows.topk(top, dim=-1)
            tops = zip(tokens.tolist(), values.tolist(), strict=True)
            found += [
                (one, list(zip(*each, strict=True))) for one, each in zip(chosen, tops, strict=True)
            ]
        return found

    def _patches(self, pictures: list[Any]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if not pictures:
            return None, None
        if self.image_processor is None:
            raise UserError("this checkpoint takes no images: no preprocessor_config.json")
        found = self.image_processor(pictures, return_tensors="pt")
        return found["pixel_values"], found["image_grid_thw"]

    def _find_end_tokens(self) -> set[int]:
        """The end tokens of the generation config and of the tokenizer."""
        ends = self.model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        return {int(end) for end in ends | {self.tokenizer.eos_token_id} if end is not None}

    def _find_banned_tokens(self, vocabulary: int) -> torch.Tensor:
        """Vision tokens, which would break the rope positions, and ids without a text in the tokenizer."""
        vision = launch.never_sampled(self.model.config.to_dict())
        beyond = range(max(self.tokenizer.get_vocab().values()) + 1, vocabulary)
        return torch.tensor([*vision, *beyond], dtype=torch.long, device=self.device)


def _check_model_type(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a checkpoint: config.json not found")
    try:
        kind = json.loads(path.read_bytes()).get("model_type")
    except (ValueError, AttributeError):
        raise UserError(f"{path}: not a JSON object") from None
    if kind not in MODEL_TYPES:
        raise UserError(f"{path}: model_type {kind!r}: expected {' or '.join(MODEL_TYPES)}")


def _load_model(folder: Path, device: torch.device, dtype: str) -> Any:
    if dtype == "auto" and device.type == "cpu":
        dtype = "float32"
    model, info = _load(
        folder,
        "weights",
        transformers.AutoModelForImageTextToText,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation="sdpa",
        # The grouped kernel for experts does not support fp64.
        experts_implementation="eager" if dtype == "float64" else None,
        output_loading_info=True,
    )
    missing = sorted(info["missing_keys"])  # transformers would fill them with random values
    if missing:
        raise UserError(f"{folder}: {len(missing)} weights are missing, such as {missing[0]}")
    return model.to(device).eval().requires_grad_(False)


def _load(folder: Path, what: str, kind: Any, **options: Any) -> Any:
    import safetensors

    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder}: cannot load its {what}: {str(error)[:300]}") from None
