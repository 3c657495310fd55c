"""The keys and values of rows that are over, for prompts that go on from them, as an agent's next turn does.

vLLM and SGLang keep theirs in blocks of tokens; here a prompt goes on from a whole row or from nothing.

Shapes: L layers, K key-value heads, C tokens, D head dimension.
"""

from array import array
from collections import OrderedDict
from typing import NamedTuple

import torch

from qvl.engines.local.passes.prompts import PreparedPrompt

MOST_BYTES = 256 << 20  # of all rows that are kept: our choice


class Prefix(NamedTuple):
    """What is known of the first C tokens of a prompt."""

    keys: torch.Tensor
    """(L, K, C, D)"""
    values: torch.Tensor
    """(L, K, C, D)"""

    @property
    def length(self) -> int:
        return self.keys.shape[2]

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class Prefixes:
    """Those used last, up to `most_bytes`. They are of the present weights: `clear` them with these."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Prefix] = OrderedDict()
        self._lengths: dict[int, int] = {}  # C -> number of prefixes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, prompt: PreparedPrompt, sampled: list[int], prefix: Prefix) -> None:
        """prefix: of the prompt and the sampled tokens that follow it."""
        if prompt.video_grids is not None or prefix.num_bytes > self.most_bytes:
            return
        key = _key(prompt, array("I", [*prompt.ids, *sampled]).tobytes(), prefix.length)
        self._drop(key)
        self._kept[key] = prefix
        self._lengths[prefix.length] = self._lengths.get(prefix.length, 0) + 1
        self._bytes += prefix.num_bytes
        while self._bytes > self.most_bytes:
            self._drop(next(iter(self._kept)))

    def longest(self, prompt: PreparedPrompt) -> Prefix | None:
        """What is known of the beginning of a prompt, but not of its last token, whose logits are needed."""
        if prompt.video_grids is not None:
            return None
        ids = array("I", prompt.ids).tobytes()
        for length in sorted(self._lengths, reverse=True):
            if length < len(prompt.ids):
                key = _key(prompt, ids, length)
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        return None

    def clear(self) -> None:
        self._kept.clear()
        self._lengths.clear()
        self._bytes = 0

    def _drop(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is None:
            return
        self._bytes -= found.num_bytes
        self._lengths[found.length] -= 1
        if not self._lengths[found.length]:
            del self._lengths[found.length]


def _key(prompt: PreparedPrompt, ids: bytes, length: int) -> bytes:
    """Equal for equal tokens and images. ids: as unsigned integers."""
    images = b"".join(image.digest for image in prompt.images if image.end <= length)
    return ids[: length * array("I").itemsize] + images
