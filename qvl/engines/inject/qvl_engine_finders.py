"""Import hooks for packages that a machine without CUDA lacks; installed ones are used as they are.

torchvision: PyPI's build is for CUDA. With a CPU torch its library does not load, and the import fails
    with "operator torchvision::nms does not exist". Declaring the two operators that the import needs
    is enough: the transforms of Qwen3-VL's processors are plain torch.
sgl_kernel: it has no CPU build. On a CPU sglang imports a few of its names, all for speculative
    decoding: they become functions that raise when called. Four operators are looked up by models
    related to qwen_vl and never called: their names are declared. One is implemented: the hash for
    seeds, which sglang has only for CUDA. Without the AMX kernels sglang falls back to plain torch.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

TORCHVISION = ("nms", "qnms")
LOOKED_UP = (
    "fused_sigmoid_mul_cpu",
    "fused_qk_gemma_rmsnorm_cpu",
    "fused_qk_gemma_rmsnorm_with_gate_cpu",
    "fused_qkvzba_split_reshape_cat_contiguous_cpu",
)
MASK = 0xFFFFFFFF


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torchvision` and `sgl_kernel` before Python's own finders."""

    def __init__(self) -> None:
        self.libraries: list[Any] = []  # torch drops the operators of a library that is collected
        self.is_searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self.is_searching:
            return None
        if fullname == "torchvision":
            self._declare_torchvision()
        if fullname == "sgl_kernel":
            self.is_searching = True
            try:
                installed = importlib.util.find_spec(fullname)
            finally:
                self.is_searching = False
            return installed or ModuleSpec(fullname, self)
        return None

    def _declare_torchvision(self) -> None:
        is_cuda = "+" not in _version("torchvision")  # other builds have a label
        if self.libraries or not (is_cuda and _version("torch").endswith("+cpu")):
            return
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in TORCHVISION:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        self.libraries.append(library)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        import torch

        library = torch.library.Library("sgl_kernel", "FRAGMENT")
        for name in LOOKED_UP:
            library.define(f"{name}() -> ()")
        library.define("murmur_hash32_cpu(Tensor seed, Tensor positions, Tensor cols) -> Tensor")
        library.impl("murmur_hash32_cpu", murmur_hash32, "CPU")
        self.libraries.append(library)
        module.__getattr__ = absent  # type: ignore[method-assign]


def absent(name: str) -> Callable[..., None]:
    """A function that raises, for one of sgl_kernel's names on a CPU."""
    if not name.endswith("_cpu"):
        raise AttributeError(name)

    def call(*_: Any, **__: Any) -> None:
        raise NotImplementedError(f"sgl_kernel.{name}: there is no CPU build of sgl_kernel")

    return call


def murmur_hash32(seed: Any, positions: Any, cols: Any) -> Any:
    """MurmurHash3 (32 bit) of the words (seed low, seed high, position, column).

    seed (B,) and positions (B,), cols (V,) -> (B, V) int64 with 32-bit words, equal to sglang's CUDA
    kernel. sglang samples tokens from them.
    """
    import torch

    seed = seed.to(torch.int64)[:, None]
    positions = positions.to(torch.int64)[:, None] & MASK
    cols = cols.to(torch.int64)[None] & MASK
    state: Any = 0
    for word in (seed & MASK, (seed >> 32) & MASK, positions, cols):
        word = _rotate(word * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK
        state = (_rotate(state ^ word, 13) * 5 + 0xE6546B64) & MASK
    state = state ^ 16  # bytes hashed
    state = (state ^ (state >> 16)) * 0x85EBCA6B & MASK
    state = (state ^ (state >> 13)) * 0xC2B2AE35 & MASK
    return state ^ (state >> 16)


def _version(package: str) -> str:
    """The installed version with its label, such as 2.13.0+cpu; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _rotate(word: Any, bits: int) -> Any:
    return ((word << bits) | (word >> (32 - bits))) & MASK


def install() -> None:
    """Install the finder, once per process."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
