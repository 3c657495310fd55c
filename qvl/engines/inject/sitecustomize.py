"""Imported first by every interpreter of an engine: this folder is on the engine's PYTHONPATH.

So no installed file is edited. The engine runs in another environment than qvl: nothing here imports
qvl, except that qvl_engine_media.py loads qvl.media.
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
    """Get SIGTERM when the `qvl serve` that started this process ends, by kill -9 too (Linux)."""
    if os.environ.get("QVL_ENGINE_PARENT") != str(os.getppid()):
        return  # a child of the engine, which stops its children itself
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:  # not Linux
        return
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0)


def run_shadowed() -> None:
    """Run the environment's own sitecustomize, which this file hides."""
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


qvl_engine_finders.install()
follow_parent()
run_shadowed()
