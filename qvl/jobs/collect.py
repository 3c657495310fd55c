"""A teacher on Megatron for `qvl distill collect`: the model of a folder, at any layout.

Ranks score chunks of sequences, which come and go as files in a folder of their own, so that this process
imports neither torch nor Megatron. `MegatronTeacher` starts `python -m qvl.jobs.collect FOLDER`, and that the
ranks.

    in-000001.jsonl.zst    sequences, as qvl.distill.sequences makes them
    out-000001.jsonl.zst   the same with `teacher` on their responses, and what rounding did to them
    end                    no further chunks
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from qvl.distill import tokenizer
from qvl.distill.settings import TeacherSettings
from qvl.errors import UserError
from qvl.imports import gc_frozen
from qvl.io import jsonl
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.pending import STEP_SECONDS
from qvl.train import launch

Record = dict[str, Any]
JOB, END = "job.json", "end"
CHUNK = 64  # sequences that the ranks score together: our choice


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the ranks need to know."""

    model: str
    """The teacher's folder."""
    name: str
    tokenizer: str
    layout: str
    ranks: int
    top_k: int
    media_root: str
    allow_remote: bool


class MegatronTeacher:
    """Scores sequences with Megatron; used as a context, and in place of qvl.distill.teacher.Teachers."""

    def __init__(
        self, folder: str, settings: TeacherSettings, renderer: Renderer, *, layout: str, ranks: int
    ) -> None:
        """UserError for a teacher that does not read as the student, or cannot have the layout."""
        self.settings, self.renderer = settings, renderer
        tokenizer.check_folder(renderer, renderer.model, Path(folder))
        parse_layout(layout).check(load_shape(Path(folder)), ranks)
        self.tokenizer = tokenizer.digest(renderer.model)
        self._job = Job(
            model=str(Path(folder).resolve()),
            name=Path(folder).name,
            tokenizer=self.tokenizer,
            layout=layout,
            ranks=ranks,
            top_k=settings.top_k,
            media_root=str(renderer.media_root),
            allow_remote=renderer.allow_remote,
        )
        self._context = load_shape(Path(folder)).max_positions
        self._stack = contextlib.ExitStack()
        self._open: list[_Chunk] = []
        self._count = 0

    @property
    def names(self) -> dict[str, str]:
        return {"": self._job.name}

    def __enter__(self) -> "MegatronTeacher":
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qvl-collect-"))
        self._folder = Path(name)
        (self._folder / JOB).write_bytes(orjson.dumps(asdict(self._job)))
        self._process = subprocess.Popen([sys.executable, "-m", "qvl.jobs.collect", name])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        (self._folder / END).touch()
        if kind is not None:
            self._process.terminate()
        self._process.wait()
        self._stack.close()

    def score(self, record: Record) -> "_Scored":
        """The record to come, with `teacher` on its response. UserError where it is longer than the
        teacher's context."""
        (response,) = record["responses"]
        tokens = len(response["prompt_token_ids"]) + len(response["token_ids"])
        if tokens > self._context:
            raise UserError(
                f"record {record.get('id')!r}: {tokens:,} tokens, and the teacher takes "
                f"{self._context:,}; drop longer records"
            )
        if not self._open or self._open[-1].is_sent:
            self._count += 1
            self._open = [_Chunk(self._folder, self._count, self._process)]
        chunk = self._open[-1]
        scored = _Scored(chunk, len(chunk.records))
        chunk.records.append(record)
        if len(chunk.records) == CHUNK:
            chunk.send()
        return scored


class _Chunk:
    """Sequences that are scored together."""

    def __init__(self, folder: Path, number: int, process: "subprocess.Popen[bytes]") -> None:
        self.records: list[Record] = []
        self._paths = [folder / f"{side}-{number:06d}.jsonl.zst" for side in ("in", "out")]
        self._process, self.is_sent = process, False
        self._found: list[Record] | None = None

    def send(self) -> None:
        jsonl.write(self.records, str(self._paths[0]))
        self.is_sent = True

    def done(self) -> bool:
        return self._found is not None or self._paths[1].exists()

    def found(self) -> list[Record]:
        """The scored records. UserError if the ranks have failed."""
        if not self.is_sent:
            self.send()
        while not self.done():
            if self._process.poll() is not None:
                raise UserError(
                    f"a rank of the teacher ended with status {self._process.returncode}"
                )
            time.sleep(STEP_SECONDS)
        if self._found is None:
            self._found = list(jsonl.read(str(self._paths[1])))
            for path in self._paths:
                path.unlink()
        return self._found


@dataclass
class _Scored:
    """One of the sequences of a chunk (qvl.pending.Pending, and as qvl.distill.teacher.Scored)."""

    chunk: _Chunk
    place: int
    rounding: Sequence[Any] = ()

    def done(self) -> bool:
        return self.chunk.done()

    def result(self) -> Record:
        found = dict(self.chunk.found()[self.place])
        self.rounding = [found.pop("rounding")]
        return found


def main(folder: Path) -> None:
    """Run the ranks, or one of them."""
    job = Job(**orjson.loads((folder / JOB).read_bytes()))
    status = launch.as_ranks(job.ranks)
    if status is not None:
        raise SystemExit(status)
    with gc_frozen():
        from qvl.megatron import parallel

    with parallel.started(parse_layout(job.layout)):
        _score_all(job, folder)


def _score_all(job: Job, folder: Path) -> None:
    with gc_frozen():
        from qvl.megatron import parallel
        from qvl.settings import ModelSettings
        from qvl.train.build import load_model

    _, model = load_model(ModelSettings(model=job.model, layout=job.layout))
    model.to(parallel.device())
    for number in _chunks(folder):
        records = list(jsonl.read(str(folder / f"in-{number:06d}.jsonl.zst")))
        found = _scored(job, model, records)
        if launch.is_first():
            jsonl.write(found, str(folder / f"out-{number:06d}.jsonl.zst"))


def _chunks(folder: Path) -> Iterator[int]:
    """The numbers of chunks as they come, the same on every rank."""
    from qvl.megatron import parallel

    number = 1
    while True:
        path = folder / f"in-{number:06d}.jsonl.zst"
        here = parallel.on_first(lambda path=path: _wait(path, folder / END))
        if not here:
            return
        yield number
        number += 1


def _wait(path: Path, end: Path) -> bool:
    """Whether a file comes before the end."""
    parent = os.getppid()
    while not path.exists():
        if end.exists() or os.getppid() != parent:
            return False
        time.sleep(STEP_SECONDS)
    return True


def _scored(job: Job, model: Any, records: Sequence[Record]) -> list[Record]:
    """The records with `teacher` and `rounding`, on rank 0; each data-parallel rank scores a part."""
    from qvl.media.loader import loader
    from qvl.megatron import parallel, scoring
    from qvl.model.batch import batch_of

    rank, ranks = parallel.data_rank()
    images = loader(Path(job.model), Path(job.media_root), allow_remote=job.allow_remote)
    places = range(len(records))
    each = -(-len(records) // ranks)
    own = [(rank + step * ranks) % len(records) for step in range(each)]

    def batches() -> Iterator[Any]:
        for place in own:
            sample = _sample(records[place])
            yield batch_of([sample], model.shape, images.lazily({"images": sample.images}))

    scores = scoring.score(model, batches(), each, top_k=job.top_k)
    mine = {place: _fields(job, score) for place, score in zip(own, scores, strict=True)}
    every = parallel.gather_first(mine if parallel.is_first_of_model() else {})
    found = {place: fields for part in every for place, fields in part.items()}
    if not found:  # not rank 0
        return []
    done = []
    for place in places:
        teacher, rounding = found[place]
        (response,) = records[place]["responses"]
        responses = [{**response, "teacher": teacher}]
        done.append({**records[place], "responses": responses, "rounding": rounding})
    return done


def _sample(record: Record) -> Sample:
    (response,), media = record["responses"], record["rollout"]
    prompt, tokens = response["prompt_token_ids"], response["token_ids"]
    grids = [(frames, rows, width) for frames, rows, width in media["grids"]]
    spans = [(len(prompt), len(prompt) + len(tokens), 1.0)]
    return Sample(str(record.get("id")), [*prompt, *tokens], spans, media["images"], grids)


def _fields(job: Job, score: Any) -> tuple[Record, list[Any]]:
    from qvl.distill import codes

    ids, top = [], []
    if job.top_k:
        ids, top = score.top_ids.cpu().numpy(), score.top_log_probs.double().cpu().numpy()
    exact = codes.of_arrays(ids, top, score.log_probs.double().cpu().numpy())
    fields = codes.encode(exact)
    named = {"name": job.name, "tokenizer": job.tokenizer, **fields}
    return named, list(codes.rounding(exact, fields))


if __name__ == "__main__":
    with launch.one_rank_reports():
        main(Path(sys.argv[1]))
