"""The twin's tokenizer: byte-level BPE like Qwen's, with its special tokens but few merges."""

import functools
import json
from pathlib import Path
from typing import Any

from qvl.errors import need
from qvl.tiny import corpus

# In Qwen's order. Decoding skips SPECIAL but keeps ADDED, which parsers need.
SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
]
ADDED = [
    *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<think>", "</think>"),
]
NUM_MERGES = 230
VOCABULARY = 256 + NUM_MERGES + len(SPECIAL) + len(ADDED)  # 506
# Qwen2's: each digit is a token.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MAX_LENGTH = 262_144  # Qwen3-VL's context


@functools.cache
def train() -> Any:
    """Train the `tokenizers.Tokenizer`, which takes 0.1 s."""
    tokenizers = need("tokenizers", extra="tiny")
    pre, regex = tokenizers.pre_tokenizers, tokenizers.Regex(PATTERN)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Split(regex, "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256 + NUM_MERGES,
        show_progress=False,
        initial_alphabet=pre.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus.lines(), trainer)
    token = functools.partial(tokenizers.AddedToken, normalized=False)
    tokenizer.add_special_tokens([token(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([token(text, special=False) for text in ADDED])
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise AssertionError(f"{tokenizer.get_vocab_size()} tokens, not {VOCABULARY}")
    return tokenizer


def ident(text: str) -> int:
    """The id of a special token."""
    return train().token_to_id(text)


def write(folder: Path) -> None:
    """Write tokenizer.json, vocab.json and merges.txt for older readers, and the configuration."""
    tokenizer = train()
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    decoder = {
        str(tokenizer.token_to_id(text)): {
            "content": text,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": text in SPECIAL,
        }
        for text in [*SPECIAL, *ADDED]
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": MAX_LENGTH,
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen3VLProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
