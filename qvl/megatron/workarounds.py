"""Workarounds for faults of megatron-core without Transformer Engine or apex, one per function.

`install` applies those that the installed release needs. Seen in 0.16.1; what a newer release has
fixed is left alone.
"""

import importlib
import inspect
import queue
from collections import deque
from functools import cache
from typing import Any

import torch


def install() -> None:
    _moe_without_transformer_engine()
    _results_of_a_save()
    _writers_of_a_save()
    _shapes_between_two_ranks()


def _moe_without_transformer_engine() -> None:
    """moe_utils uses a name that exists only with Transformer Engine: NameError in any MoE."""
    module: Any = importlib.import_module("megatron.core.transformer.moe.moe_utils")
    if not hasattr(module, "te_general_gemm"):
        module.te_general_gemm = None


def _results_of_a_save() -> None:
    """A save spends seconds on starting a process that holds a queue, and leaves it behind if this one
    is killed. Ours are written by the process that waits for them: any queue will do."""
    module: Any = importlib.import_module(
        "megatron.core.dist_checkpointing.strategies.filesystem_async"
    )
    if module._results_queue is None:
        module._results_queue = queue.Queue()


def _writers_of_a_save() -> None:
    """A save forks a process per file, out of a process that has threads, and from one of them. 0.19
    writes in threads; so does this."""
    module: Any = importlib.import_module(
        "megatron.core.dist_checkpointing.strategies.filesystem_async"
    )
    writer = module.FileSystemWriterAsync
    if not hasattr(writer, "write_preloaded_data_multiproc"):
        return

    def write(transforms: Any, use_msc: bool, rank: int, buckets: Any, results: Any) -> None:
        found: Any = queue.Queue()
        for index, bucket in enumerate(buckets):
            running: Any = queue.Queue()
            running.put(index)
            writer.write_preloaded_data(transforms, index, bucket, found, running, use_fsync=True)
        written = dict(found.get() for _ in buckets)
        errors = [each for each in written.values() if isinstance(each, Exception)]
        results.put(errors[0] if errors else written)

    writer.write_preloaded_data_multiproc = staticmethod(write)


def _shapes_between_two_ranks() -> None:
    """Stages announce the shapes of what they send as one batch, even where the tensors are sent one
    by one: over gloo, and in a ring of two ranks whose stages are interleaved (`batch_p2p_comm`).

    In a ring of two ranks both directions go to the same one, which confuses the first with the
    second: shapes are now sent in Megatron's order of the tensors. And two ranks deadlock if each
    waits until its shapes are received, while every batch is in the warm-up: now only receiving is
    waited for. Where tensors go as batches, so do shapes: NCCL would hang if the two differed.
    """
    module: Any = importlib.import_module("megatron.core.pipeline_parallel.p2p_communication")
    communicator = module.P2PCommunicator
    if hasattr(communicator, "_announces_as_batch"):
        return
    communicator._announces_as_batch = communicator._communicate_shapes

    in_flight: Any = deque(maxlen=64)  # kept until they have surely arrived

    def announce(
        self: Any, send_next: Any, send_prev: Any, recv_prev: bool, recv_next: bool
    ) -> tuple[list[int], list[int]]:
        if self.config.batch_p2p_comm:
            return self._announces_as_batch(send_next, send_prev, recv_prev, recv_next)
        device = torch.cuda.current_device()

        def shape(tensor: Any) -> torch.Tensor | None:
            if tensor is None:
                return None
            return torch.tensor(tensor.size(), device=device, dtype=torch.int64)

        from_prev, from_next = (
            torch.zeros(3, device=device, dtype=torch.int64) if expected else None
            for expected in (recv_prev, recv_next)
        )
        sent = [shape(send_prev), shape(send_next)]
        requests = module._p2p_ops(
            tensor_send_prev=sent[0],
            tensor_recv_prev=from_prev,
            tensor_send_next=sent[1],
            tensor_recv_next=from_next,
            group=self.pp_group,
            prev_pipeline_rank=self.prev_rank,
            next_pipeline_rank=self.next_rank,
        )
        for name, request in requests.items():
            if name.startswith("recv"):
                request.wait()
        torch.cuda.synchronize()  # they are read at once
        in_flight.append((sent, requests))
        none = [0, 0, 0]
        found = [none if each is None else each.tolist() for each in (from_prev, from_next)]
        return found[0], found[1]

    communicator._communicate_shapes = announce


@cache
def aux_loss_counts_sharers() -> bool:
    """Whether the load-balancing loss of experts is multiplied by the tokens of all ranks that share
    a batch, as in 0.19; otherwise by those of one rank, so that it is too small by their number."""
    router: Any = importlib.import_module("megatron.core.transformer.moe.router").TopKRouter
    source = inspect.getsource(router.attach_and_log_load_balancing_loss)
    return "* self.tp_cp_group.size()" in source


def allocate_state(optimizer: Any) -> None:
    """Give a new optimizer the state that a first step would, with a count of steps per parameter: one
    that they shared, as Megatron's loading leaves it, would grow by their number per step."""
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        if not isinstance(part.optimizer, torch.optim.AdamW):
            continue  # those of apex and Transformer Engine keep the count in the group
        for group in part.optimizer.param_groups:
            for parameter in group["params"]:
                if not part.optimizer.state[parameter]:
                    part.optimizer.state[parameter] = {
                        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                        "exp_avg": torch.zeros_like(parameter),
                        "exp_avg_sq": torch.zeros_like(parameter),
                    }
