"""megatron-core on a machine without CUDA, over gloo: one function, `install`.

Megatron names its device in three ways, each of which is redirected here: calls of torch.cuda, which
return the CPU's values; the literal "cuda" in a few files, which get a `torch` of their own; and
methods of tensors, `.cuda()` and `.type()`, while the context `tensor_methods` is open. Nothing here
is active where CUDA is available.
"""

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
# Files that make tensors with device="cuda" on the paths that run here (found by tracing 0.16.1).
LITERALS = (
    "megatron.core.pipeline_parallel.schedules",
    "megatron.core.optimizer.optimizer",
    "megatron.core.optimizer.clip_grads",
    "megatron.core.utils",
)
MAKERS = ("zeros", "ones", "tensor", "empty")
# Freed blocks of this many bytes or more are returned to the system. glibc would raise the threshold
# to 32 MiB and leave holes: half of a process whose packs have 64K tokens. Our choice, by measurement:
# 1 MiB costs a quarter more processor time, 8 MiB none.
RETURNED_BYTES = 8 << 20
M_MMAP_THRESHOLD = -3  # glibc's malloc.h

_installed = False


def needed() -> bool:
    return not torch.cuda.is_available()


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """A context to import Megatron in, without torch.compile. Megatron passes its fusible functions
    to it, which imports the compiler at once, although fusions are off here (each would compile C++
    for seconds). Does nothing with CUDA."""
    compiler = torch.compile
    if needed():
        torch.compile = _unchanged
    try:
        yield
    finally:
        torch.compile = compiler


def _unchanged(function: Any = None, **_: Any) -> Any:
    """A decorator that changes nothing, with or without arguments, as torch.compile is used."""
    return function or _unchanged


def install() -> None:
    """Make megatron-core run on the CPU, for the life of the process. Does nothing with CUDA."""
    global _installed
    if _installed or not needed():
        return
    _installed = True
    _return_memory()
    _redirect_cuda()
    for name in LITERALS:
        module: Any = importlib.import_module(name)
        module.torch = _torch_on_cpu()
    random: Any = importlib.import_module("megatron.core.tensor_parallel.random")
    random._set_cuda_rng_state = _set_rng_state
    dispatcher: Any = importlib.import_module("megatron.core.transformer.moe.token_dispatcher")
    dispatcher.maybe_move_tensor_to_cpu = _split_sizes


@contextlib.contextmanager
def tensor_methods() -> Iterator[None]:
    """For building, stepping and saving the optimizer: `.cuda()` does nothing, `.type()` returns
    torch.cuda types.

    A mode costs a call per operation, so the forward and backward passes run outside it.
    """
    with _AsCuda() if needed() else contextlib.nullcontext():
        yield


class _AsCuda(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.Tensor.cuda:
            return args[0]
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.type and isinstance(result, str):
            caller = sys._getframe(1).f_code.co_filename
            if "megatron/core/optimizer/" in caller:
                return result.replace("torch.", "torch.cuda.", 1)
        return result


def _return_memory() -> None:
    if sys.platform == "linux":
        mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)


def _redirect_cuda() -> None:
    cuda: Any = torch.cuda
    cuda.current_device = lambda: CPU
    cuda.manual_seed = torch.manual_seed
    cuda.get_rng_state = lambda *_, **__: torch.get_rng_state()
    cuda.random.get_rng_state = cuda.get_rng_state
    cuda.current_stream = cuda.default_stream = lambda *_, **__: _Stream()
    cuda.stream = lambda _: contextlib.nullcontext()
    cuda.synchronize = cuda.empty_cache = lambda *_, **__: None
    cuda.Stream = cuda.Event = _Stream


class _Stream:
    """A stream and an event that have always finished."""

    device = CPU

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_stream(self, stream: Any) -> None:
        pass

    wait_event = wait = wait_stream

    def synchronize(self) -> None:
        pass

    def record(self, *_: Any) -> "_Stream":
        return self

    record_event = record

    def query(self) -> bool:
        return True


def _torch_on_cpu() -> ModuleType:
    """A `torch` whose functions that make tensors take device="cuda" as the CPU."""
    copy = ModuleType("torch")
    copy.__dict__.update(torch.__dict__)
    for name in MAKERS:
        setattr(copy, name, _on_cpu(getattr(torch, name)))
    return copy


def _on_cpu(make: Any) -> Any:
    def made(*args: Any, **kwargs: Any) -> torch.Tensor:
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = CPU
        kwargs.pop("pin_memory", None)
        return make(*args, **kwargs)

    return made


def _set_rng_state(state: torch.Tensor, device: int = -1, graph_safe: bool = False) -> None:
    torch.set_rng_state(state)


def _split_sizes(tensor: Any, as_numpy: bool = False, record_stream: bool = False) -> Any:
    """Split sizes must be numbers, also where the tensor is on the CPU already."""
    return tensor.numpy() if as_numpy and torch.is_tensor(tensor) else tensor
