"""What a training job sends to an engine and what it gets back: token ids in, token ids out.

Log-probabilities are those of softmax(logits), before temperature, top-p and top-k.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    session: str | None = None
    """the same of prompts that share a beginning: one of several engines samples from all of them"""


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
    """The log-probabilities of the last N of T given tokens, images and videos expanded."""

    prompt_ids: list[int]
    """(T,)"""
    logprobs: list[float | None]
    """(N,); None for the first of the T tokens, and for the pads of images and videos"""
    top_ids: list[list[int]]
    """(N, top): the most likely tokens in the place of each, best first; none in that of the first of
    the T. Empty if none were requested."""
    top_logprobs: list[list[float]]
    """(N, top), as top_ids"""
    weight_version: str


def checked(answer: Completion) -> Completion:
    """The completion, if its values have the types that it declares; else ShapeError.

    An engine reports them as JSON, in which anything can be anything.
    """
    count = len(answer.token_ids)
    _check("token ids", all(type(each) is int and each >= 0 for each in answer.token_ids))
    _check("log-probs", len(answer.logprobs) == count and _are_numbers(answer.logprobs))
    _check("top log-probs", _are_top(answer.top_logprobs, count))
    _check("finish_reason", isinstance(answer.finish_reason, str))
    for version, begin, end in answer.weight_versions:
        _check("weight_versions", isinstance(version, str) and type(begin) is type(end) is int)
    return answer


def checked_prompt(answer: PromptLogprobs, top: int, last: int) -> PromptLogprobs:
    """The log-probabilities of `last` tokens, if they are what is declared; else ShapeError.

    An engine may return fewer than `top` tokens per place.
    """
    known = [each for each in answer.logprobs if each is not None]
    _check("log-probs", len(answer.logprobs) == last and _are_numbers(known))
    ids, values = answer.top_ids, answer.top_logprobs
    _check("top log-probs", len(ids) in (0, last) and [*map(len, ids)] == [*map(len, values)])
    _check("top ids", all(len(row) <= top and set(map(type, row)) <= {int} for row in ids))
    _check("top log-probs", all(map(_are_numbers, values)))
    _check("weight_version", isinstance(answer.weight_version, str))
    return answer


class ShapeError(TypeError):
    """An engine's answer has values of other types."""


def _check(name: str, holds: bool) -> None:
    if not holds:
        raise ShapeError(name)


def _are_numbers(values: Sequence[Any]) -> bool:
    return set(map(type, values)) <= {float, int}


def _are_top(rows: TopLogprobs, count: int) -> bool:
    pairs = (pair for row in rows for pair in row)
    sound = all(type(token) is int and type(value) in (float, int) for token, value in pairs)
    return sound and len(rows) in (0, count)
