"""Rows that decode together. They join and leave between steps, so no row waits for the longest.

All rows end at the same column: row b is padded on the left by starts[b], and each step adds one
column. Equal prompts are prefilled once, and a prompt that goes on from a row that is over from there.

Shapes: B rows, W columns, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.detokenizer import Detokenizer
from qvl.engines.local.grammar import Grammar
from qvl.engines.local.passes import decode, prefill, prompts
from qvl.engines.local.passes.prefixes import Prefix, Prefixes
from qvl.engines.local.passes.prompts import PreparedPrompt
from qvl.engines.local.sampling import RowSampling, penalise, sample


class Row:
    """One completion in progress."""

    def __init__(
        self,
        prompt: PreparedPrompt,
        sampling: RowSampling,
        max_tokens: int,
        text: Detokenizer | None,
        top_logprobs: int | None,
        on_progress: Callable[["Row"], None] | None,
        on_finish: Callable[["Row"], None],
        grammar: Grammar | None = None,
    ) -> None:
        """text: for a stream or stop strings. top_logprobs: None for no log-probs. grammar: for
        structured output. on_progress, on_finish: called in the engine's thread."""
        self.prompt, self.sampling, self.max_tokens = prompt, sampling, max_tokens
        self.text, self.top_logprobs = text, top_logprobs
        self.on_progress, self.on_finish, self.grammar = on_progress, on_finish, grammar
        self.tokens: list[int] = []
        self.logprobs: list[tuple[float, list[tuple[int, float]]]] = []
        self.finish_reason: str | None = None
        self.version = ""  # of the weights, the same for all its tokens: set when it joins
        self.is_cancelled = False

    @property
    def is_over(self) -> bool:
        return self.is_cancelled or self.finish_reason is not None

    def append(self, token: int, end_tokens: set[int]) -> None:
        """Add a token, and finish the row if it is the last one."""
        self.tokens.append(token)
        if self.grammar:
            self.grammar.accept(token)
        if self.text:
            self.text.add(token)
        if token in end_tokens or (self.text and self.text.is_stopped):
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason and self.text:
            self.text.finish()
        if self.on_progress and not self.is_cancelled:
            self.on_progress(self)
        if self.finish_reason and not self.is_cancelled:
            self.on_finish(self)

    def abort(self) -> None:
        """Finish the row with the tokens that it has."""
        self.finish_reason = "abort"
        if self.text:
            self.text.finish()
        if self.on_progress:
            self.on_progress(self)
        self.on_finish(self)


class DecodingBatch:
    """The rows that are decoded, with their keys and values."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.device = checkpoint.device
        self.rows: list[Row] = []
        self.prefixes = Prefixes()
        self._cache = Cache(layers=[])
        self._starts = torch.empty(0, dtype=torch.long, device=self.device)  # (B,)
        self._width = 0

    @property
    def num_live(self) -> int:
        return sum(not row.is_over for row in self.rows)

    def join(self, rows: list[Row]) -> None:
        """Prefill the prompts of `rows`, sample the first token of each, and add them to the batch."""
        distinct = list({row.prompt.key: row.prompt for row in rows}.values())
        known = {prompt.key: self.prefixes.longest(prompt) for prompt in distinct}
        fresh = [prompt for prompt in distinct if known[prompt.key] is None]
        model = self.checkpoint.model
        for part in prompts.parts(fresh, lambda prompt: len(prompt.ids)):
            self._begin(rows, part, prefill.whole(model, part, self.device))
        going_on = [prompt for prompt in distinct if known[prompt.key] is not None]
        for part in prompts.parts(going_on, lambda prompt: len(prompt.ids)):
            prefixes = [prefix for prompt in part if (prefix := known[prompt.key])]
            self._begin(rows, part, prefill.after(model, part, prefixes, self.device))

    def _begin(self, rows: list[Row], part: list[PreparedPrompt], done: prefill.Prefilled) -> None:
        """Sample the first token of the rows whose prompts are in `part`, and add these rows."""
        index = {prompt.key: i for i, prompt in enumerate(part)}
        mine = [row for row in rows if row.prompt.key in index]
        picks = torch.tensor([index[row.prompt.key] for row in mine], device=self.device)
        self._sample(done.logits[picks], mine)
        keep = [i for i, row in enumerate(mine) if not row.is_over]
        if keep:
            taken = picks[keep]
            self._merge([mine[i] for i in keep], done.cache, taken, done.starts[taken], done.width)

    def step(self) -> None:
        """One more token for every row."""
        if sum(row.is_over for row in self.rows) * 4 >= len(self.rows):
            self._drop_finished()
        if not self.rows:
            return
        tokens = torch.tensor([row.tokens[-1] for row in self.rows], device=self.device)
        positions = torch.tensor(
            [row.prompt.next_position + len(row.tokens) - 1 for row in self.rows],
            device=self.device,
        )
        self._width += 1
        model = self.checkpoint.model
        mask = torch.zeros(len(tokens), 1, 1, self._width, dtype=model.dtype, device=self.device)
        columns = torch.arange(self._width, device=self.device)
        mask.masked_fill_(columns < self._starts[:, None, None, None], -torch.inf)
        live = [place for place, row in enumerate(self.rows) if not row.is_over]
        self._sample(decode.step(model, _layers(self._cache), tokens, positions, mask), self.rows)
        for place in live:
            row = self.rows[place]
            if row.finish_reason and row.prompt.video_grids is None:
                self._keep(place)

    def _keep(self, place: int) -> None:
        """Keep what is known of a row that is over; of its last token nothing is."""
        row, start = self.rows[place], int(self._starts[place])
        layers = [layer.row(place, start) for layer in _layers(self._cache)]
        keys, values = (torch.stack(each) for each in zip(*layers, strict=True))
        self.prefixes.keep(row.prompt, row.tokens[:-1], Prefix(keys, values))

    def _sample(self, logits: torch.Tensor, rows: list[Row]) -> None:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if not logits.amax(-1).isfinite().all():
            raise FloatingPointError("the model's logits are not finite")
        raw = logits.log_softmax(-1) if any(r.top_logprobs is not None for r in rows) else None
        logits[:, self.checkpoint.banned] = -torch.inf
        for i, row in enumerate(rows):
            if row.grammar and not row.is_over:
                logits[i, row.grammar.banned().to(self.device)] = -torch.inf
        settings = [row.sampling for row in rows]
        logits = penalise(logits, settings, [row.tokens for row in rows])
        tokens = sample(logits, settings, [len(row.tokens) for row in rows])
        if raw is not None:
            _add_logprobs(raw, tokens, rows)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if not row.is_over:
                row.append(token, self.checkpoint.end_tokens)

    def _drop_finished(self) -> None:
        """Drop the finished rows, and the columns that only they use."""
        keep = [i for i, row in enumerate(self.rows) if not row.is_over]
        if len(keep) == len(self.rows):
            return
        self.rows = [self.rows[i] for i in keep]
        picks = torch.tensor(keep, dtype=torch.long, device=self.device)
        self._starts = self._starts[picks]
        spare = int(self._starts.min()) if keep else self._width
        self._starts, self._width = self._starts - spare, self._width - spare
        for layer in _layers(self._cache):
            layer.select(picks, spare)

    def _merge(
        self, rows: list[Row], cache: Cache, picks: torch.Tensor, starts: torch.Tensor, width: int
    ) -> None:
        """Add prefilled rows to those that decode, both padded to the wider; finished rows are dropped."""
        spare = int(starts.min())
        starts, width = starts - spare, width - spare
        for layer in _layers(cache):
            layer.select(picks, spare)
        kept = [i for i, row in enumerate(self.rows) if not row.is_over]
        if not kept:
            self.rows, self._cache, self._starts, self._width = rows, cache, starts, width
            return
        mine = torch.tensor(kept, dtype=torch.long, device=self.device)
        own_starts = self._starts[mine]
        own_spare = int(own_starts.min())
        own_width = self._width - own_spare
        wide = max(own_width, width)
        for layer, other in zip(_layers(self._cache), _layers(cache), strict=True):
            layer.append_rows(mine, own_spare, other, wide)
        own_starts = own_starts - own_spare + wide - own_width
        self._starts = torch.cat([own_starts, starts + wide - width])
        self.rows, self._width = [self.rows[i] for i in kept] + rows, wide


def _layers(cache: Cache) -> list[Any]:
    return cache.layers


def _add_logprobs(raw: torch.Tensor, tokens: torch.Tensor, rows: list[Row]) -> None:
    """Give each row that asked for log-probs that of its token, and the most likely tokens, before temperature and
    masks, as in vLLM; raw (B, V), tokens (B,).

    In fp32: for a model in fp64 this drops the digits that depend on the other rows.
    """
    counts = {
        i: x.top_logprobs
        for i, x in enumerate(rows)
        if x.top_logprobs is not None and not x.is_over
    }
    chosen = raw.gather(-1, tokens[:, None])[:, 0].float().tolist()
    tops: dict[int, list[tuple[int, float]]] = {i: [] for i in counts}
    for count in {*counts.values()} - {0}:
        picks = [i for i in counts if counts[i] == count]
        values, ids = raw[picks].float().topk(count)
        for i, own_ids, own_values in zip(picks, ids.tolist(), values.tolist(), strict=True):
            tops[i] = list(zip(own_ids, own_values, strict=True))
    for i, top in tops.items():
        rows[i].logprobs.append((chosen[i], top))
