"""Megatron's distributed checkpoints: weights, optimizer, schedule and the position in the data.

A checkpoint is the folder `step-NNNNNNN`, written beside its place and renamed, so one of that name
is complete.
"""

import inspect
import re
import shutil
import threading
from pathlib import Path
from typing import Any

from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.validation import StrictHandling

from qvl.errors import UserError
from qvl.megatron import cpu, parallel, workarounds
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


class Saving:
    """A checkpoint that is being written; every rank has one and calls the same methods.

    Its tensors are copied to the host, or there out of the buffers that a step changes: training
    continues while a thread writes.
    """

    def __init__(self, sharded: dict[str, Any], place: Path, *, keep: int | None = None) -> None:
        """It is written beside `place`, where files that belong to it may lie already, and renamed.
        keep: the number of checkpoints to keep; the older ones are deleted."""
        self.place, self.keep = place, keep
        self._partial = place.with_name(f"{place.name}.partial")
        if parallel.rank() == 0:
            (self._partial / "megatron").mkdir(parents=True)
        parallel.barrier()
        self._request: Any = dist_checkpointing.save(
            sharded, str(self._partial / "megatron"), async_sharded_save=True, **_OWN_WRITER
        )
        args = list(self._request.async_fn_args)
        if self._request.preload_fn:
            args[1] = self._request.preload_fn()
        write = self._request.async_fn or (lambda *_: None)
        self._thread = threading.Thread(target=write, args=args)
        self._thread.start()

    def written(self) -> bool:
        """Whether every rank has written its part."""
        return not parallel.anywhere(self._thread.is_alive())

    def finish(self) -> None:
        """Wait for every rank, and put the checkpoint in its place."""
        self._thread.join()
        parallel.barrier()
        for finalize in self._request.finalize_fns:
            finalize()
        if parallel.rank() == 0:
            shutil.rmtree(self.place, ignore_errors=True)
            self._partial.replace(self.place)
            for old in saved(self.place.parent)[: -self.keep] if self.keep else ():
                shutil.rmtree(old)
        parallel.barrier()


def begin(trainer: Trainer, folder: Path, state: dict[str, Any], *, keep: int) -> Saving:
    """Start to write the checkpoint of `state["step"]`; the last `keep` are kept. Every rank calls,
    and finishes it before it begins another."""
    place = folder / f"step-{state['step']:07d}"
    if parallel.rank() == 0:
        shutil.rmtree(place.with_name(f"{place.name}.partial"), ignore_errors=True)
    trainer.wait_for_parameters()
    with cpu.tensor_methods():
        return Saving({**_sharded(trainer), "state": state}, place, keep=keep)


def saved(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))


def load(trainer: Trainer, path: Path) -> dict[str, Any]:
    """Restore a trainer; return the state that was saved with it."""
    workarounds.allocate_state(trainer.optimizer)
    with cpu.tensor_methods():
        plan = _sharded(trainer, loading=True)
        found = _load(plan, path)
        _restore(trainer.model, found["model"])
        trainer.optimizer.load_state_dict(found["optimizer"])
    trainer.scheduler.load_state_dict(found["scheduler"])
    return found["state"]


def _sharded_weights(model: LocalModel) -> dict[str, Any]:
    """By stage; on disk the name of a tensor does not depend on its stage."""
    chunks = enumerate(model.chunks)
    return {str(index): chunk.sharded_state_dict(metadata=_metadata()) for index, chunk in chunks}


def _restore(model: LocalModel, found: dict[str, Any]) -> None:
    for index, chunk in enumerate(model.chunks):
        chunk.load_state_dict(found[str(index)])


def _sharded(trainer: Trainer, *, loading: bool = False) -> dict[str, Any]:
    model = _sharded_weights(trainer.model)
    optimizer = trainer.optimizer.sharded_state_dict(
        model, is_loading=loading, metadata=_metadata()
    )
    out = {"model": model, "optimizer": optimizer}
    return out if loading else {**out, "scheduler": trainer.scheduler.state_dict()}


def _load(plan: dict[str, Any], path: Path) -> dict[str, Any]:
    path = path / "megatron"
    if not (path / "metadata.json").is_file():
        raise UserError(f"{path}: not a Megatron checkpoint")
    restricted_pickle.check(path)
    found: Any = dist_checkpointing.load(
        plan, str(path), strict=StrictHandling.ASSUME_OK_UNEXPECTED
    )
    return found


def _metadata() -> dict[str, Any]:
    """How the optimizer is stored: readable at another layout."""
    return {
        "distrib_optim_sharding_type": "fully_reshardable",
        "distrib_optim_fully_reshardable_mem_efficient": False,
        "chained_optim_avoid_prefix": True,
        "dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True),
    }
