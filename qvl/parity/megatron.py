"""Megatron's side, at any layout: ranks read packed records and write their log-probabilities.

`Megatron` starts the ranks, each as `python -m qvl.parity.megatron FOLDER`.
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from qvl.errors import UserError
from qvl.imports import gc_frozen
from qvl.io import jsonl
from qvl.media.loader import loader
from qvl.model.layout import Layout, parse_layout
from qvl.pack import packed
from qvl.pack.packed import Sample
from qvl.train import launch

JOB, RECORDS, RESULTS = "job.json", "records.jsonl.zst", "results.jsonl.zst"


@dataclass(frozen=True, kw_only=True)
class Megatron:
    """The model of a folder at a layout, in fp32."""

    model: str
    layout: str
    media_root: str
    allow_remote: bool = False

    def __call__(self, samples: Iterable[Sample]) -> Iterator[list[float]]:
        """The log-probabilities of each sample's target tokens. UserError if the ranks fail."""
        lines = (packed.join(sample.id, [sample]) for sample in samples)
        ranks = parse_layout(self.layout).fewest_ranks
        rows = self._of_ranks(lines, ranks) if ranks > 1 else results(self, lines)
        for row in rows:
            yield row["logprobs"]

    def _of_ranks(self, lines: Iterable[dict], ranks: int) -> Iterator[dict]:
        with tempfile.TemporaryDirectory(prefix="qvl-parity-") as name:
            folder = Path(name)
            jsonl.write(lines, str(folder / RECORDS))
            (folder / JOB).write_bytes(orjson.dumps(asdict(self)))
            status = launch.launch(ranks, ["-m", "qvl.parity.megatron", name])
            if status:
                raise UserError(f"--layout {self.layout}: a rank ended with status {status}")
            yield from jsonl.read(str(folder / RESULTS))


def results(job: Megatron, lines: Iterable[dict]) -> Iterator[dict]:
    """Yield the log-probabilities of each line, {"id", "logprobs"}; every rank gets the same."""
    with gc_frozen():
        from qvl.megatron import parallel

    layout = parse_layout(job.layout)
    with parallel.started(layout):
        yield from _results(job, layout, lines)


def _results(job: Megatron, layout: Layout, lines: Iterable[dict]) -> Iterator[dict]:
    with gc_frozen():
        import torch

        from qvl.megatron import parallel, scoring, training, weights
    from qvl.model.batch import make_batch
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape

    model = Path(job.model)
    images = loader(model, Path(job.media_root), allow_remote=job.allow_remote)
    shape = load_shape(model)
    built = training.build_model(shape, layout, torch.float32).to(parallel.device())
    weights.load(built, Folder(model))
    for line in lines:
        batch = make_batch(line, shape, images.lazily(line))
        (scores,) = scoring.score(built, [batch], 1)
        yield {"id": line["id"], "logprobs": scores.log_probs.tolist()}


def main(folder: Path) -> None:
    """Run one rank of several."""
    job = Megatron(**orjson.loads((folder / JOB).read_bytes()))
    rows = results(job, jsonl.read(str(folder / RECORDS)))
    if launch.is_first():
        jsonl.write(rows, str(folder / RESULTS))
    else:
        for _ in rows:
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
