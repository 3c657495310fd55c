"""The keys and values of rows that are over, for prompts that go on from them, as an agent's next turn does.

vLLM and SGLang keep theirs in blocks of tokens; here a prompt goes on from a whole row or from nothing.

Shapes: L layers, K key-value heads, C tokens, D head dimension.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch

from qvl.engines.local.passes.prompts import PreparedPrompt
from qvl.recent import Recent

MOST_BYTES = 256 << 20  # of all rows that are kept: our choice
MOST_NEW = 1024  # tokens after a prefix, each with a mask as long as its prompt: our choice


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
        self._kept: Recent[bytes, Prefix] = Recent(most_bytes, lambda prefix: prefix.num_bytes)
        self._lengths: Counter[int] = Counter()  # of those that are kept

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, prompt: PreparedPrompt, sampled: list[int], prefix: Prefix) -> None:
        """prefix: of the prompt, which has no videos, and the sampled tokens that follow it."""
        (key,) = _keys(prompt, [*prompt.ids, *sampled], [prefix.length])
        forgotten = self._kept.keep(key, prefix)
        if key in self._kept:
            self._lengths[prefix.length] += 1
        for each in forgotten:
            self._lengths[each.length] -= 1

    def longest(self, prompt: PreparedPrompt) -> Prefix | None:
        """What is known of the beginning of a prompt, but not of its last token, whose logits are needed.

        None where more than MOST_NEW tokens follow: whole, a long prompt needs no mask.
        """
        if prompt.video_grids is not None:
            return None
        self._lengths = +self._lengths  # without those of which none is left
        total = len(prompt.ids)
        shorter = sorted(length for length in self._lengths if 0 < total - length <= MOST_NEW)
        known = [key for key in _keys(prompt, prompt.ids, shorter) if key in self._kept]
        return self._kept.get(known[-1]) if known else None

    def clear(self) -> None:
        self._kept.clear()
        self._lengths.clear()


def _keys(prompt: PreparedPrompt, ids: Sequence[int], lengths: Iterable[int]) -> Iterator[bytes]:
    """Of the first tokens, as many as each of the ascending `lengths`: equal for equal tokens and images."""
    seen, start = hashlib.blake2b(digest_size=16), 0
    for length in lengths:
        seen.update(array("I", ids[start:length]).tobytes())
        start = length
        images = (image.digest for image in prompt.images if image.end <= length)
        yield b"".join((seen.digest(), *images))
