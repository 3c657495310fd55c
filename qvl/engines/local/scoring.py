"""Log-probs of given tokens. Prompts that wait at the same time are scored together.

Shapes: N tokens of a prompt that are scored, its last ones; K most likely tokens in the place of each.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.engine import Engine
from qvl.engines.local.passes import prompts
from qvl.engines.local.passes.prompts import PreparedPrompt

LOGITS_TOKENS = 512  # tokens whose logits are in memory at a time


class Scores(NamedTuple):
    """The log-probs of a prompt's last N tokens, and what was likely in their places."""

    logprobs: np.ndarray
    """(N,) float32"""
    top_ids: np.ndarray
    """(N, K) int64, best first"""
    top_logprobs: np.ndarray
    """(N, K) float32"""
    version: str
    """of the weights"""


@dataclass(eq=False)
class ScoringRequest:
    """A prompt, of which the log-probs of the last `last` tokens are wanted, at most all but the first."""

    prompt: PreparedPrompt
    top: int
    last: int
    scores: "Future[Scores]" = field(default_factory=Future)


class Scorer:
    """Scores prompts in an engine's thread, between two of its steps."""

    def __init__(self, engine: Engine, checkpoint: Checkpoint, max_batch: int) -> None:
        self.engine, self.checkpoint, self.max_batch = engine, checkpoint, max_batch
        self._waiting: deque[ScoringRequest] = deque()

    def submit(self, prompt: PreparedPrompt, top: int, last: int) -> "Future[Scores]":
        """The scores to come; if it is cancelled before its turn, it is not computed."""
        request = ScoringRequest(prompt, top, min(last, len(prompt.ids) - 1))
        self._waiting.append(request)
        answer = self.engine.call(lambda: self._scores(request))
        answer.add_done_callback(lambda answer: self._drop_if_cancelled(answer, request))
        return answer

    def _drop_if_cancelled(self, answer: "Future[Scores]", request: ScoringRequest) -> None:
        """In any thread. Else it would be held until other prompts come."""
        if answer.cancelled():
            with contextlib.suppress(ValueError):  # taken already
                self._waiting.remove(request)

    def _scores(self, request: ScoringRequest) -> Scores:
        """In the engine's thread, in the order of submission."""
        if not request.scores.done():  # it is the first that waits
            self._score_waiting()
        return request.scores.result()

    def _score_waiting(self) -> None:
        taken: list[ScoringRequest] = []
        while self._waiting and len(taken) < self.max_batch:
            taken.append(self._waiting.popleft())
        try:
            score(self.checkpoint, taken)
        except Exception as error:  # noqa: BLE001 - raised where a score is read
            for request in taken:
                if not request.scores.done():
                    request.scores.set_exception(error)


@torch.inference_mode()
def score(checkpoint: Checkpoint, requests: Sequence[ScoringRequest]) -> None:
    """Set the scores of each request."""
    for part in prompts.parts(requests, lambda each: len(each.prompt.ids)):
        _score_part(checkpoint, part)


def _score_part(checkpoint: Checkpoint, requests: Sequence[ScoringRequest]) -> None:
    model = checkpoint.model
    inputs = prompts.padded([each.prompt for each in requests], checkpoint.device, left=False)
    hidden = model.model(**inputs, use_cache=False).last_hidden_state  # (B, W, width)
    lengths, counts = [len(each.prompt.ids) for each in requests], [each.last for each in requests]
    rows = torch.arange(len(requests)).repeat_interleave(torch.tensor(counts))
    spans = zip(lengths, counts, strict=True)
    places = torch.cat([torch.arange(length - count, length) for length, count in spans])
    states = hidden[rows, places - 1]  # a token is scored by the state of the one before it
    tokens = inputs["input_ids"][rows, places]
    top = max(each.top for each in requests)
    found = []
    for begin in range(0, len(tokens) or 1, LOGITS_TOKENS):
        logits = model.lm_head(states[begin : begin + LOGITS_TOKENS])
        precise = torch.promote_types(logits.dtype, torch.float32)
        logprobs = logits.log_softmax(-1, dtype=precise).float()  # (tokens, V)
        chosen = logprobs.gather(-1, tokens[begin : begin + LOGITS_TOKENS, None])[:, 0]
        values, ids = logprobs.topk(top, dim=-1)
        found.append((chosen, ids, values))
    chosen, ids, values = (torch.cat(each).cpu() for each in zip(*found, strict=True))
    each_of = zip(requests, *(part.split(counts) for part in (chosen, ids, values)), strict=True)
    for request, own, own_ids, own_values in each_of:
        scores = Scores(
            own.numpy(),
            own_ids[:, : request.top].contiguous().numpy(),
            own_values[:, : request.top].contiguous().numpy(),
            checkpoint.version,
        )
        request.scores.set_result(scores)
