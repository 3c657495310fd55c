"""What a training job sends to an engine and what it gets back: token ids in, token ids out.

Log-probabilities are those of softmax(logits), before temperature, top-p and top-k.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

TopLogprobs = list[list[tuple[int, float]]]
"""per position the most likely tokens and their log-probs, in descending order"""


class TokensPrompt(NamedTuple):
    """Token ids with one <|image_pad|> per image and one <|video_pad|> per video.

    The engines expand them. An image that is expanded already is expanded again, without an error.
    """

    token_ids: Sequence[int]
    images: Sequence[str] = ()
    """data: URIs, in the order of their pads"""
    videos: Sequence[str] = ()
    """data: URIs of files, or of frames as qvl.client.chat.frames_uri joins them"""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How tokens are sampled."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all tokens"""
    seed: int | None = None
    top_logprobs: int = 0
    """number of most likely tokens to return per position"""

    @property
    def is_plain(self) -> bool:
        """Whether tokens are sampled from softmax(logits) itself."""
        return self.temperature == 1.0 and self.top_p == 1.0 and self.top_k == 0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """N sampled tokens."""

    prompt_ids: list[int]
    """images and videos expanded"""
    token_ids: list[int]
    """(N,), the end token included"""
    logprobs: list[float]
    """(N,)"""
    top_logprobs: TopLogprobs
    """(N, top_logprobs); empty if none were requested"""
    finish_reason: str
    """stop, length or abort"""
    weight_versions: list[tuple[str, int, int]]
    """(version, begin, end): the weights that sampled tokens begin to end"""
    is_plain: bool
    """the tokens were sampled from these log-probs: temperature 1, no top-p, no top-k"""


@dataclass(frozen=True, kw_only=True)
class PromptLogprobs:
    """The log-probabilities of T given tokens, images and videos expanded."""

    prompt_ids: list[int]
    """(T,)"""
    logprobs: list[float | None]
    """(T,); None for the first token, and for the pads of images and videos"""
    top_logprobs: TopLogprobs
    """(T - 1, top): for every token but the first"""
    weight_version: str
