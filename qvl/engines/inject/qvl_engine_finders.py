"""Supplies at import what a machine without CUDA lacks, and only where it is really missing.

torchvision: the registry's build is made for CUDA. Beside a CPU torch its library does not load and
    the import stops at "operator torchvision::nms does not exist". Declaring the two operators that
    the import names is enough: the transforms that Qwen3-VL's processors use are plain torch.
sgl_kernel: there is no CPU build of it. On a CPU, sglang imports a few of its names, all steps of
    speculative decoding: they get a function that raises when called. Four operators are looked up
    by sister models of qwen_vl and never called: they get their names. One is real: the hash behind
    seeds, which sglang has for CUDA alone. As the AMX kernels stay absent, sglang runs its own
    plain torch everywhere.
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
    """Stands before the ordinary import of `torchvision` and `sgl_kernel`."""

    def __init__(self) -> None:
        self.libraries: list[Any] = []  # torch forgets the operators of one that is collected
        self.looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self.looking:
            return None
        if fullname == "torchvision":
            self._declare_torchvision()
        if fullname == "sgl_kernel":
            self.looking = True
            try:
                installed = importlib.util.find_spec(fullname)
            finally:
                self.looking = False
            return installed or ModuleSpec(fullname, self)
        return None

    def _declare_torchvision(self) -> None:
        plain = "+" not in _version("torchvision")  # the build for CUDA; others have a label
        if self.libraries or not (plain and _version("torch").endswith("+cpu")):
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
    """A stand-in for one of sgl_kernel's names on a CPU."""
    if not name.endswith("_cpu"):
        raise AttributeError(name)

    def call(*_: Any, **__: Any) -> None:
        raise NotImplementedError(f"sgl_kernel.{name}: there is no CPU build of sgl_kernel")

    return call


def murmur_hash32(seed: Any, positions: Any, cols: Any) -> Any:
    """MurmurHash3 (32 bit) of the words (seed low, seed high, position, column).

    seed (B,) and positions (B,), cols (V,) -> (B, V) int64 that hold 32-bit words, as sglang's own
    kernel for CUDA computes them; it draws a sample's token from them.
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
    """The installed version with its label, such as 2.13.0+cpu; empty where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _rotate(word: Any, bits: int) -> Any:
    return ((word << bits) | (word >> (32 - bits))) & MASK


def install() -> None:
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
