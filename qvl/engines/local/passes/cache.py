"""The keys and values of rows that decode together: columns are appended, rows join and leave.

Shapes: B rows, W columns, K key-value heads, D head dimension.
"""

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

GROWTH = 64  # columns by which a cache grows at a time


class GrowingLayer(DynamicLayer):
    """Keys and values (B, K, W, D) with spare columns: a step writes one column and copies none."""

    is_croppable = False

    def __init__(self) -> None:
        super().__init__()
        self.width = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, self.width = self.width, self.width + key_states.shape[-2]
        if self.keys is None or self.values is None:
            self.keys, self.values = key_states, value_states
            self.is_initialized = True
            return self.keys, self.values
        if self.width > self.keys.shape[-2]:
            self.keys = _with_room(self.keys[..., :start, :], self.width)
            self.values = _with_room(self.values[..., :start, :], self.width)
        self.keys[..., start : self.width, :] = key_states
        self.values[..., start : self.width, :] = value_states
        return self.keys[..., : self.width, :], self.values[..., : self.width, :]

    def get_seq_length(self) -> int:
        return self.width

    def row(self, place: int, first_column: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A copy of the keys and the values of one row, (K, W, D) each, from `first_column` on."""
        assert self.keys is not None and self.values is not None
        columns = slice(first_column, self.width)
        return self.keys[place, :, columns].clone(), self.values[place, :, columns].clone()

    def take_columns(self, columns: torch.Tensor) -> None:
        """Make column j of row b what columns[b, j] was; columns (B, W)."""
        assert self.keys is not None and self.values is not None
        heads, _, size = self.keys.shape[1:]
        index = columns[:, None, :, None].expand(-1, heads, -1, size)
        self.width = columns.shape[1]
        self.keys = _with_room(self.keys.gather(2, index), self.width)
        self.values = _with_room(self.values.gather(2, index), self.width)

    def select(self, rows: torch.Tensor, first_column: int) -> None:
        """Keep only these rows, and the columns from `first_column` on."""
        if self.keys is None or self.values is None:
            return
        columns = slice(first_column, self.width)
        self.width -= first_column
        self.keys = _with_room(self.keys[..., columns, :].index_select(0, rows), self.width)
        self.values = _with_room(self.values[..., columns, :].index_select(0, rows), self.width)

    def append_rows(
        self, rows: torch.Tensor, first_column: int, other: "GrowingLayer", width: int
    ) -> None:
        """select(rows, first_column), then append the rows of `other`; all rows end at `width`."""
        if self.keys is None or self.values is None or other.keys is None or other.values is None:
            raise AssertionError("a layer without keys cannot take rows")
        columns = slice(first_column, self.width)
        pairs = ((self.keys, other.keys), (self.values, other.values))
        self.keys, self.values = (
            _joined(
                ours[..., columns, :].index_select(0, rows), theirs[..., : other.width, :], width
            )
            for ours, theirs in pairs
        )
        self.width = width


def _with_room(states: torch.Tensor, width: int) -> torch.Tensor:
    """The states, with room for `width` columns and more."""
    roomy = _roomy(states, len(states), width)
    roomy[..., : states.shape[-2], :] = states
    return roomy


def _joined(ours: torch.Tensor, theirs: torch.Tensor, width: int) -> torch.Tensor:
    """The rows of both, with zeros before the shorter: they are masked, but NaN would spread."""
    both = _roomy(ours, len(ours) + len(theirs), width)
    for place, states in ((both[: len(ours)], ours), (both[len(ours) :], theirs)):
        begin = width - states.shape[-2]
        place[..., :begin, :] = 0
        place[..., begin:width, :] = states
    return both


def _roomy(like: torch.Tensor, rows: int, width: int) -> torch.Tensor:
    _, heads, _, size = like.shape
    return like.new_empty(rows, heads, width + max(GROWTH, width // 4), size)
