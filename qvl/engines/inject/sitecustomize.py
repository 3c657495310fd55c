"""What an engine's interpreter imports before anything else, in every process that it starts.

This folder is put on PYTHONPATH of an engine, so no installed file is edited. Nothing here is
imported by qvl, and nothing here imports qvl, whose environment is another, but for the one module
that qvl_sglang_videos.py names.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import qvl_engine_finders  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG, SIGTERM = 1, 15


def follow_parent() -> None:
    """Be terminated when the `qvl serve` that started this process dies, kill -9 included (Linux)."""
    if os.environ.get("QVL_ENGINE_PARENT") != str(os.getppid()):
        return  # a child of the engine, which the engine itself takes down
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:  # not Linux
        return
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0)


def run_shadowed() -> None:
    """The environment's own sitecustomize, which this file hides."""
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


qvl_engine_finders.install()
follow_parent()
run_shadowed()
