"""Checkpoints of a run: weights, optimizer, schedule and the position in the data.

A checkpoint is the folder `step-NNNNNNN`, written beside its place and renamed once every rank has written
its part, so one of that name was complete. `megatron` in it is a distributed checkpoint of Megatron with
the weights, dealt over the ranks that have the same; `optimizer` has a file per rank (optimizer_shards).
`checksums.json` tells whether all files are still what was written.
"""

import inspect
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.serialization import get_default_save_sharded_strategy
from megatron.core.dist_checkpointing.strategies.fully_parallel import (
    FullyParallelSaveStrategyWrapper,
)
from megatron.core.dist_checkpointing.validation import StrictHandling

from qvl.errors import UserError
from qvl.io import checksums
from qvl.megatron import cpu, parallel, workarounds
from qvl.megatron.checkpoint import optimizer_shards
from qvl.megatron.qwen3vl import LocalModel
from qvl.megatron.training import Trainer
from qvl.model import restricted_pickle

# 0.19 would use another package's writer.
_OWN_WRITER: dict[str, Any] = (
    {"async_strategy": "mcore"}
    if "async_strategy" in inspect.signature(dist_checkpointing.save).parameters
    else {}
)
NAME = re.compile(r"step-(\d+)")
WEIGHTS, OPTIMIZER = "megatron", "optimizer"  # folders


class Saving:
    """A checkpoint that is being written; every rank has one and calls the same methods.

    Its tensors are copied to the host, or there out of the buffers that a step changes: training
    continues while a thread writes.
    """

    def __init__(self, trainer: Trainer, state: dict[str, Any], place: Path, *, keep: int) -> None:
        """It is written beside `place`, where files that belong to it may lie already, and renamed.
        keep: the number of checkpoints to keep; the older ones are deleted. UserError on every rank
        where the folder cannot be made."""
        self.place, self.keep = place, keep
        self._partial = place.with_name(f"{place.name}.partial")
        self._error: str | None = None
        self._sums: checksums.Sums = {}
        if parallel.rank() == 0:
            self._error = _attempt(self._make_folders)
        self._agree()
        sharded = {"model": _sharded_weights(trainer.model), "state": state}
        sharded["scheduler"] = trainer.scheduler.state_dict()
        self._copies = optimizer_shards.Copies.of(trainer.model, trainer.optimizer)
        self._request: Any = dist_checkpointing.save(
            sharded,
            str(self._partial / WEIGHTS),
            FullyParallelSaveStrategyWrapper(
                get_default_save_sharded_strategy(), _sharers_of_weights(), True
            ),
            async_sharded_save=True,
            **_OWN_WRITER,
        )
        args = list(self._request.async_fn_args)
        if self._request.preload_fn:
            args[1] = self._request.preload_fn()
        write = self._request.async_fn or (lambda *_: None)
        self._thread = threading.Thread(target=self._write, args=(write, args))
        self._thread.start()

    def written(self) -> bool:
        """Whether every rank has written its part, or failed to."""
        return not parallel.anywhere(self._thread.is_alive())

    def finish(self) -> None:
        """Wait for every rank, and put the checkpoint in its place. UserError on every rank where one
        could not write: nothing is left of it then, and the checkpoints before it stay."""
        self._thread.join()
        self._agree()
        try:
            for finalize in self._request.finalize_fns:
                finalize()
        except Exception as error:  # noqa: BLE001 - Megatron raises its own, on every rank
            self._error = str(error).strip().splitlines()[-1]
        self._agree()
        every = parallel.gather_first(self._sums)
        if parallel.rank() == 0:
            self._error = _attempt(self._put_in_place, every)
        self._agree()

    def _make_folders(self) -> None:
        for name in (WEIGHTS, OPTIMIZER):
            (self._partial / name).mkdir(parents=True)

    def _write(self, write: Callable[..., Any], args: list[Any]) -> None:
        """This rank's files, and their checksums: in the thread."""

        def work() -> None:
            own = optimizer_shards.path_of(self._partial / OPTIMIZER)
            self._copies.write(own)
            write(*args)
            mine = (self._partial / WEIGHTS).glob(f"__{parallel.rank()}_*.distcp")
            self._sums = {
                str(path.relative_to(self._partial)): checksums.of_file(path)
                for path in (own, *mine)
            }

        self._error = _attempt(work)

    def _put_in_place(self, every: list[checksums.Sums]) -> None:
        sums = {name: each for own in every for name, each in own.items()}
        for path in sorted(self._partial.rglob("*")):  # what one rank writes for all
            name = str(path.relative_to(self._partial))
            if path.is_file() and name not in sums:
                sums[name] = checksums.of_file(path)
        checksums.write(self._partial, sums)
        shutil.rmtree(self.place, ignore_errors=True)
        self._partial.replace(self.place)
        for old in saved(self.place.parent)[: -self.keep]:
            shutil.rmtree(old)

    def _agree(self) -> None:
        """Wait for all ranks. UserError on each of them where one has an error."""
        errors = [each for each in parallel.gather(self._error) if each]
        if not errors:
            return
        before = [path for path in saved(self.place.parent) if path != self.place]
        if parallel.rank() == 0:
            shutil.rmtree(self._partial, ignore_errors=True)
        parallel.barrier()
        kept = f"the last one is {before[-1]}" if before else "there is none before it"
        raise UserError(
            f"{self.place}: cannot write the checkpoint: {errors[0]}; {kept}; "
            "make room and continue with --resume"
        )


def _attempt(work: Callable[..., None], *args: Any) -> str | None:
    """What went wrong, in a line."""
    try:
        work(*args)
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - of torch's writer: all ranks must hear of it
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def begin(trainer: Trainer, folder: Path, state: dict[str, Any], *, keep: int) -> Saving:
    """Start to write the checkpoint of `state["step"]`; the last `keep` are kept. Every rank calls,
    and finishes it before it begins another."""
    place = folder / f"step-{state['step']:07d}"
    if parallel.rank() == 0:
        shutil.rmtree(place.with_name(f"{place.name}.partial"), ignore_errors=True)
    trainer.wait_for_parameters()
    with cpu.tensor_methods():
        return Saving(trainer, state, place, keep=keep)


def saved(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))


def problem(path: Path) -> str | None:
    """What is wrong with a checkpoint, on every rank: the ranks deal its files out and compare their
    checksums. None if it is what was written."""
    sums = checksums.read(path)
    if isinstance(sums, str):
        return parallel.gather(sums)[0]
    own = sorted(sums)[parallel.rank() :: parallel.world()]
    found = [checksums.problem(path / name, sums[name]) for name in own]
    errors = [each for rank in parallel.gather(found) for each in rank if each]
    return errors[0] if errors else None


def load(trainer: Trainer, path: Path) -> dict[str, Any]:
    """Restore a trainer; return the state that was saved with it."""
    workarounds.allocate_state(trainer.optimizer)
    with cpu.tensor_methods():
        found = _load({"model": _sharded_weights(trainer.model)}, path)
        _restore(trainer.model, found["model"])
        optimizer_shards.restore(trainer.model, trainer.optimizer, path / OPTIMIZER)
    trainer.scheduler.load_state_dict(found["scheduler"])
    return found["state"]


def _sharded_weights(model: LocalModel) -> dict[str, Any]:
    """By stage; on disk the name of a tensor does not depend on its stage."""
    chunks = enumerate(model.chunks)
    metadata = {"dp_cp_group": _sharers_of_weights()}
    return {str(index): chunk.sharded_state_dict(metadata=metadata) for index, chunk in chunks}


def _restore(model: LocalModel, found: dict[str, Any]) -> None:
    for index, chunk in enumerate(model.chunks):
        chunk.load_state_dict(found[str(index)])


def _load(plan: dict[str, Any], path: Path) -> dict[str, Any]:
    path = path / WEIGHTS
    if not (path / "metadata.json").is_file():
        raise UserError(f"{path}: not a Megatron checkpoint")
    restricted_pickle.check(path)
    found: Any = dist_checkpointing.load(
        plan, str(path), strict=StrictHandling.ASSUME_OK_UNEXPECTED
    )
    return found


def _sharers_of_weights() -> Any:
    """The process group of the ranks that have the same weights, experts apart."""
    return parallel_state.get_data_parallel_group(with_context_parallel=True)
