"""A Qwen3-VL checkpoint folder as a model, a tokenizer and rules of media; messages to prompts.

Prompts are rendered by the tokenizer's chat template, positions computed by the model's own
get_rope_index.
"""

import functools
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from qvl.engines.local.media import RequestMedia, SeenImage
from qvl.engines.local.passes.prompts import PreparedPrompt, PromptImage
from qvl.engines.serving import launch
from qvl.engines.weights import FIRST_VERSION
from qvl.errors import UserError
from qvl.media import pads, patches, processor, video_patches
from qvl.media.patches import Grid

MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")
STEP_ROWS = 16  # of a step that is measured to choose the number of threads: our choice


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
        has_images, has_videos = processor.exists(folder, "image"), video_patches.has_rules(folder)
        self.image_rules = patches.load_rules(folder) if has_images else None
        self.video_rules = video_patches.load_rules(folder) if has_videos else None
        config: Any = self.model.config
        self.image_token: int = config.image_token_id
        self.video_token: int = config.video_token_id
        self.width: int = config.text_config.hidden_size
        self.max_positions: int = config.text_config.max_position_embeddings
        self.merge: int = config.vision_config.spatial_merge_size
        self.end_tokens = self._find_end_tokens()
        self.banned = self._find_banned_tokens(config.text_config.vocab_size)
        self.longest_token = max(map(len, self.tokenizer.get_vocab()))

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one token of STEP_ROWS rows, as a step of decoding does but for the cache."""
        ids = torch.zeros((STEP_ROWS, 1), dtype=torch.long, device=self.device)
        self.model(input_ids=ids, use_cache=False)

    @property
    def processors(self) -> dict[str, dict[str, Any]]:
        """The settings by which images and videos become patches, by kind."""
        frames = self.video_rules and self.video_rules.of_frames
        rules = {"image": self.image_rules, "video": frames}
        return {kind: asdict(each) for kind, each in rules.items() if each}

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, without special tokens."""
        return self.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of a token, which may be a part of a character; b"" for an unknown id."""
        if token in self._added_tokens:
            return self._added_tokens[token].encode()
        text = self.tokenizer.convert_ids_to_tokens(token) or ""
        alphabet = byte_alphabet()
        return bytes(alphabet[each] for each in text if each in alphabet)

    @functools.cached_property
    def _added_tokens(self) -> dict[int, str]:
        return {id: str(token) for id, token in self.tokenizer.added_tokens_decoder.items()}

    def prepare_chat(
        self, messages: list[dict], tools: list[dict] | None, media: RequestMedia
    ) -> PreparedPrompt:
        """Render, tokenise and prepare `messages`. UserError if they are too long or a medium is bad."""
        parts = [
            part
            for message in messages
            if isinstance(message.get("content"), list)
            for part in message["content"]
        ]
        pictures = [part["image"] for part in parts if part["type"] == "image"]
        clips = [part["video"] for part in parts if part["type"] == "video"]
        rendered = self.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        encoded = self._encoded(rendered)
        media.check_length(len(encoded))  # before millions of numbers are made of it
        return self.prepare(encoded.ids, pictures, clips, media)

    def prepare(
        self, ids: list[int], pictures: list[str], clips: list[Any], media: RequestMedia
    ) -> PreparedPrompt:
        """Expand token ids that hold one <|image_pad|> per picture and one <|video_pad|> per clip."""
        found, videos = media.images(pictures), media.videos(clips)
        grids = torch.tensor([image.grid for image in found]) if found else None
        video_pixels, video_grids = _joined([each[:2] for each in videos])
        sizes = [] if grids is None else (grids.prod(-1) // self.merge**2).tolist()
        marks = [each[2] for each in videos]
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
        media.check_length(len(ids))
        tokens = torch.tensor([ids])
        if grids is None and video_grids is None:  # of text all three rows count up
            positions = torch.arange(len(ids)).expand(3, -1)
        else:
            kinds = (tokens == self.image_token).int() + 2 * (tokens == self.video_token).int()
            positions, _ = self.model.model.get_rope_index(
                tokens, kinds, image_grid_thw=grids, video_grid_thw=video_grids
            )
            positions = positions[:, 0]  # (3, T)
        digest = hashlib.blake2b(tokens.numpy().ravel().data, digest_size=16)
        for image in found:
            digest.update(image.digest)
        if video_pixels is not None:
            digest.update(video_pixels.numpy().ravel().data)  # no copy
        return PreparedPrompt(
            ids,
            positions,
            int(positions.max()) + 1,
            self._placed(found, sizes, tokens[0]),
            video_pixels,
            video_grids,
            digest.digest(),
        )

    def _placed(
        self, images: list[SeenImage], sizes: list[int], tokens: torch.Tensor
    ) -> tuple[PromptImage, ...]:
        """Images of these sizes, in tokens, with their ends among all tokens."""
        if not images:
            return ()
        places = (tokens == self.image_token).nonzero()[:, 0]
        ends = places[torch.tensor(sizes).cumsum(0) - 1] + 1
        return tuple(
            PromptImage(*image, end=end) for image, end in zip(images, ends.tolist(), strict=True)
        )

    def _image_pads(self, count: int) -> list[int]:
        return [self.image_token] * count

    def _tokens(self, text: str) -> list[int]:
        return self._encoded(text).ids

    def _encoded(self, text: str) -> Any:
        """Of a batch, as which tokenizers lets other threads run: a long text takes seconds."""
        backend = self.tokenizer.backend_tokenizer
        (encoded,) = backend.encode_batch_fast([text], add_special_tokens=False)
        return encoded

    def read_weights(self, folder: Path) -> Any:
        """The model of another folder with the same shapes, for set_weights."""
        return _load_model(folder, self.device, self.dtype)

    def set_weights(self, model: Any, folder: Path, version: str) -> None:
        """Serve the weights of `model` from now on; to be called while no row decodes."""
        self.model, self.folder, self.version = model, folder, version

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


def _joined(
    media: list[tuple[torch.Tensor, Grid]],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The patches of several images or videos as one tensor, and their grids; None for none."""
    if not media:
        return None, None
    return torch.cat([each for each, _ in media]), torch.tensor([grid for _, grid in media])


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """The bytes by the characters that stand for them in a byte-level vocabulary (GPT-2's)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # as themselves
    hidden = (each for each in range(256) if each not in shown)  # from U+0100 on
    found = {chr(each): each for each in shown}
    return found | {chr(0x100 + index): each for index, each in enumerate(hidden)}


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
