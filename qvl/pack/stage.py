"""The stage of `qvl pack`: records in, packed lines out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qvl import stage
from qvl.errors import UserError
from qvl.media.errors import MediaError
from qvl.pack import bins, packed, truncate
from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.stage import Drop, Run

UNITS = {"k": 1 << 10, "m": 1 << 20}


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """Renders a record as a sample of at most `context` tokens; can be pickled."""

    model: str
    media_root: str
    context: int
    weight: str
    last_only: bool | None
    think_tags: bool
    """See qvl.pack.render.Renderer."""
    too_long: str
    """One of truncate.RULES."""
    allow_remote: bool

    def __post_init__(self) -> None:
        if self.too_long not in truncate.RULES:
            raise UserError(f"--too-long {self.too_long}: expected {', '.join(truncate.RULES)}")

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | Drop:
        """The sample as a row, or the reason why there is none."""
        sample = self._fitting(record)
        if isinstance(sample, Drop):
            return sample
        if not sample.num_targets:
            return Drop("nothing-to-learn")
        return packed.to_row(sample)

    @cached_property
    def render(self) -> Renderer:
        return Renderer(
            Path(self.model),
            media_root=Path(self.media_root),
            weight=self.weight,
            last_only=self.last_only,
            think_tags=self.think_tags,
            allow_remote=self.allow_remote,
        )

    def _fitting(self, record: dict[str, Any]) -> Sample | Drop:
        sample = self.render(record)
        if isinstance(sample, Drop) or len(sample.ids) <= self.context:
            return sample
        if self.too_long == "turns":
            fewer = truncate.drop_last_turn(record["messages"])
            if fewer:
                return self._fitting({**record, "messages": fewer})
        if self.too_long == "end":
            render = self.render
            tokens = [render.rules.num_tokens(grid) for grid in sample.grids]
            return truncate.cut_end(sample, self.context, render.pads, tokens)
        return Drop("too-long", f"{len(sample.ids)} tokens, --context {self.context}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class DropUnreadable:
    """A Rendering whose errors of media drop their record."""

    rendering: Rendering

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | Drop:
        try:
            return self.rendering(record)
        except MediaError as error:
            return Drop("media", str(error))


def packs(run: Run, rendering: Rendering, jobs: int = 1) -> Iterator[dict]:
    """Yield the packed lines of a run's records; report how well they fill the context."""
    count, tokens, context = 0, 0, rendering.context
    for group in bins.pack(_samples(run, rendering, jobs), context):
        line = packed.join(f"pack-{count:07d}", group)
        count += 1
        tokens += len(line["input_ids"])
        yield line
    capacity = count * context
    run.note(packs=count, tokens=tokens, efficiency=tokens / capacity if capacity else 0.0)


def _samples(run: Run, rendering: Rendering, jobs: int) -> Iterator[tuple[Sample, int]]:
    records, targets, images = 0, 0, 0
    work = rendering if run.on_error == "stop" else DropUnreadable(rendering)
    for row in stage.each(run, work, jobs=jobs):
        sample = packed.from_row(row)
        records += 1
        targets += sample.num_targets
        images += len(sample.images)
        yield sample, len(sample.ids)
    run.note(records=records, targets=targets, images=images)


def parse_size(text: str) -> int:
    """Parse a number of tokens: "32k" is 32,768. ValueError."""
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].lower() in UNITS else (text, "")
    if not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r}: expected a number of tokens, such as 4096 or 32k")
    return int(number) * UNITS.get(unit, 1)
