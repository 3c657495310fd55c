"""The stream of `qvl pack`: records in, packed lines out."""

from collections.abc import Iterator

from qvl.io import packed
from qvl.io.packed import Sample
from qvl.pack import bins
from qvl.pack.render import Renderer
from qvl.stage import Drop, Run

UNITS = {"k": 1 << 10, "m": 1 << 20}


def packs(run: Run, render: Renderer, context: int) -> Iterator[dict]:
    """Yield the packed lines of a run's records; note how well they fill `context` tokens."""
    count, tokens = 0, 0
    for group in bins.pack(_samples(run, render, context), context):
        line = packed.join(f"pack-{count:07d}", group)
        count += 1
        tokens += len(line["input_ids"])
        yield line
    capacity = count * context
    run.note(packs=count, tokens=tokens, efficiency=tokens / capacity if capacity else 0.0)


def _samples(run: Run, render: Renderer, context: int) -> Iterator[tuple[Sample, int]]:
    packed_records, learnt, images = 0, 0, 0
    for record in run:
        sample = render(record)
        if isinstance(sample, Drop):
            run.reject(record, sample.reason, sample.detail)
        elif not sample.num_learnt:
            run.reject(record, "nothing-to-learn")
        elif len(sample.ids) > context:
            run.reject(record, "too-long", f"{len(sample.ids)} tokens, --context {context}")
        else:
            packed_records += 1
            learnt += sample.num_learnt
            images += len(sample.images)
            yield sample, len(sample.ids)
    run.note(records=packed_records, learnt=learnt, images=images)


def parse_size(text: str) -> int:
    """ "32k" -> 32,768; ValueError for what is no count of tokens."""
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].lower() in UNITS else (text, "")
    if not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r} is no number of tokens, such as 4096 or 32k")
    return int(number) * UNITS.get(unit, 1)
