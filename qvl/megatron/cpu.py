"""megatron-core on a machine without CUDA, over gloo: one function, `install`.

Megatron names its device in three ways, and each has its answer here: calls of torch.cuda, which are
answered for the CPU; the literal "cuda" in a few files, which get a `torch` of their own; and methods
of tensors, `.cuda()` and `.type()`, which `tensor_methods` answers for as long as it is open. Nothing
here is active where CUDA is available.
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
# Memory of blocks of this many bytes or more goes back as they are freed. glibc would raise the bound
# to 32 MiB and be left with holes: half of a process whose packs have 64K tokens. Our choice, by
# measurement: 1 MiB takes a quarter more of processor time, 8 MiB none.
GIVEN_BACK = 8 << 20
M_MMAP_THRESHOLD = -3  # glibc's malloc.h

_installed = False


def needed() -> bool:
    return not torch.cuda.is_available()


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """To import Megatron in. It hands its fusible functions to torch.compile, which has no use here
    (fusions are off: each would compile C++ for seconds), and which imports the compiler at once.
    Does nothing with CUDA."""
    compiler = torch.compile
    if needed():
        torch.compile = _as_it_is
    try:
        yield
    finally:
        torch.compile = compiler


def _as_it_is(function: Any = None, **_: Any) -> Any:
    """torch.compile of nothing, with or without brackets."""
    return function or _as_it_is


def install() -> None:
    """Make megatron-core run on the CPU, for the life of the process. Does nothing with CUDA."""
    global _installed
    if _installed or not needed():
        return
    _installed = True
    _give_back()
    _answer_for_cuda()
    for name in LITERALS:
        module: Any = importlib.import_module(name)
        module.torch = _torch_on_cpu()
    random: Any = importlib.import_module("megatron.core.tensor_parallel.random")
    random._set_cuda_rng_state = _set_rng_state
    dispatcher: Any = importlib.import_module("megatron.core.transformer.moe.token_dispatcher")
    dispatcher.maybe_move_tensor_to_cpu = _split_sizes


@contextlib.contextmanager
def tensor_methods() -> Iterator[None]:
    """While the optimizer is built, steps or is saved: `.cuda()` stays, `.type()` says torch.cuda.*.

    A mode costs a call for every operation, so the forward and backward passes run outside it.
    """
    with _AsCuda() if needed() else contextlib.nullcontext():
        yield


class _AsCuda(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.Tensor.cuda:
            return args[0]
        answer = func(*args, **(kwargs or {}))
        if func is torch.Tensor.type and isinstance(answer, str):
            asked_by = sys._getframe(1).f_code.co_filename
            if "megatron/core/optimizer/" in asked_by:
                return answer.replace("torch.", "torch.cuda.", 1)
        return answer


def _give_back() -> None:
    if sys.platform == "linux":
        mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, GIVEN_BACK)


def _answer_for_cuda() -> None:
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
    """A `torch` whose makers of tensors take device="cuda" for the CPU."""
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
