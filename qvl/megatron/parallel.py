"""Processes and how they share the model. `start` must be called before anything else of this package
is imported."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist

from qvl.errors import UserError, need
from qvl.imports import gc_frozen
from qvl.megatron import cpu, workarounds
from qvl.model.layout import Layout as Layout
from qvl.processes import LISTENER


def rank() -> int:
    """This process's number, also before `start`; torchrun and --nproc set it as RANK."""
    return int(os.environ.get("RANK", "0"))


def start(layout: Layout, *, seed: int = 0) -> None:
    """Join the world and assign its ranks; a process without RANK is a world of its own."""
    if layout.tensor * layout.context > 1:
        # Kernels then run in the order of their launch, which Megatron needs so that messages of tensor
        # and context parallelism overlap with computing. CUDA reads it once, as it begins.
        os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    with gc_frozen():
        with cpu.uncompiled():
            need("megatron.core", extra="train")
        cpu.install()
        workarounds.install()
    _join()
    share(layout, seed=seed)


def share(layout: Layout, *, seed: int = 0) -> None:
    """Assign the ranks of a world that is joined, or assign them anew."""
    from megatron.core import parallel_state
    from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed

    if world() % layout.ranks_per_model:
        raise UserError(
            f"{world()} processes do not divide into models of {layout.ranks_per_model}"
        )
    if parallel_state.model_parallel_is_initialized():
        parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        virtual_pipeline_model_parallel_size=layout.virtual if layout.virtual > 1 else None,
        context_parallel_size=layout.context,
        expert_model_parallel_size=layout.expert,
        expert_tensor_parallel_size=1,  # experts are never split
    )
    _prime(parallel_state.get_pipeline_model_parallel_group())
    torch.manual_seed(seed)
    model_parallel_cuda_manual_seed(seed, inference_rng_tracker=cpu.needed(), force_reset_rng=True)


def _prime(group: Any) -> None:
    """Have every rank of a group join its first call: NCCL makes the group's communicator then, and
    would wait for ever if that were a message between two stages (torch's batch_isend_irecv)."""
    dist.all_reduce(torch.zeros(1, device=device()), group=group)


def finish() -> None:
    """Leave the world; does nothing if it was never joined."""
    if not dist.is_initialized():
        return
    from megatron.core import parallel_state

    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


@contextlib.contextmanager
def started(layout: Layout, *, seed: int = 0) -> Iterator[None]:
    """`start`, and `finish` at the end."""
    start(layout, seed=seed)
    try:
        yield
    finally:
        finish()


def world() -> int:
    return dist.get_world_size()


def device() -> torch.device:
    if cpu.needed():
        return cpu.CPU
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def data_rank() -> tuple[int, int]:
    """This rank's number among those that see different data, and how many they are."""
    from megatron.core import parallel_state

    return (
        parallel_state.get_data_parallel_rank(),
        parallel_state.get_data_parallel_world_size(),
    )


def total(values: list[float]) -> list[float]:
    """The sum of each value over the ranks that see different data or other tokens of it.

    Only the last pipeline stage has losses; the others give 0.
    """
    from megatron.core import parallel_state

    tensor = torch.tensor(values, dtype=torch.float64, device=device())
    dist.all_reduce(
        tensor, group=parallel_state.get_data_parallel_group(with_context_parallel=True)
    )
    dist.all_reduce(tensor, group=parallel_state.get_pipeline_model_parallel_group())
    return tensor.tolist()


def from_last_stage(value: Any) -> Any:
    """The value of the last pipeline stage, pickled, on every stage of its model."""
    from megatron.core import parallel_state

    if parallel_state.get_pipeline_model_parallel_world_size() == 1:
        return value
    values, (last, group) = [value], _last_stage()
    dist.broadcast_object_list(values, last, group=group, device=device())
    return values[0]


def broadcast_from_last_stage(values: torch.Tensor) -> None:
    """Fill values with those of the last pipeline stage, on every stage of its model."""
    last, group = _last_stage()
    dist.broadcast(values, last, group=group)


def _last_stage() -> tuple[int, Any]:
    """Its rank, and the process group of all stages."""
    from megatron.core import parallel_state

    return (
        parallel_state.get_pipeline_model_parallel_last_rank(),
        parallel_state.get_pipeline_model_parallel_group(),
    )


def world_sum(value: float) -> float:
    """The sum over all ranks."""
    tensor = torch.tensor(value, dtype=torch.float64, device=device())
    dist.all_reduce(tensor)
    return tensor.item()


def anywhere(flag: bool) -> bool:
    """Whether the flag is set on any rank of the world."""
    tensor = torch.tensor(float(flag), device=device())
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.item() > 0


def gather(value: Any) -> list[Any]:
    """The value of each rank of the world, pickled."""
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def gather_first(value: Any) -> list[Any]:
    """The value of each rank of the world, pickled, on rank 0; [] on the others."""
    values: list[Any] = [None] * world() if rank() == 0 else []
    dist.gather_object(value, values or None)
    return values


def on_first(work: Callable[[], Any]) -> Any:
    """What `work` returns on rank 0, pickled, on every rank; a UserError that it raises, too."""
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = work()
        except UserError as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, 0, device=device())
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def is_first_of_model() -> bool:
    """Whether this rank is the first of those that share a model and its data."""
    from megatron.core import parallel_state

    return not (
        parallel_state.get_tensor_model_parallel_rank()
        or parallel_state.get_pipeline_model_parallel_rank()
        or parallel_state.get_context_parallel_rank()
    )


def barrier() -> None:
    dist.barrier()


def check_devices(gpus: int) -> None:
    """UserError where this rank has no GPU of its own on a machine that shows `gpus` of them."""
    if int(os.environ.get("LOCAL_RANK", "0")) >= gpus:
        ranks = os.environ.get("LOCAL_WORLD_SIZE", "more")
        raise UserError(
            f"{gpus} {'GPU' if gpus == 1 else 'GPUs'} for {ranks} ranks on this machine, and NCCL "
            "needs one for each; start as many ranks (--nproc) as there are GPUs, or set "
            "CUDA_VISIBLE_DEVICES= to train on the CPU"
        )


def _join() -> None:
    if dist.is_initialized():
        return
    backend = "gloo" if cpu.needed() else "nccl"
    if not cpu.needed():
        check_devices(torch.cuda.device_count())
        torch.cuda.set_device(device())
    if LISTENER in os.environ:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            size,
            is_master=rank == 0,
            master_listen_fd=int(os.environ[LISTENER]) if rank == 0 else None,
        )
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    elif "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        alone = "tcp://127.0.0.1:0"  # port 0: any free one
        dist.init_process_group(backend, init_method=alone, rank=0, world_size=1)
