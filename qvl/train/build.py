"""A job's model and its trainer, from their settings. Imported once ranks have started."""

from pathlib import Path

import torch

from qvl.megatron import training, weights
from qvl.megatron.qwen3vl import LocalModel
from qvl.model.folder import Folder
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.settings import RECOMPUTE, ModelSettings, Optimization


def load_model(settings: ModelSettings) -> tuple[Folder, LocalModel]:
    """The Hugging Face folder, and this rank's part of its model with the weights loaded."""
    source, shape = Folder(Path(settings.model)), load_shape(Path(settings.model))
    aux = settings.moe_aux_loss
    model = training.build_model(
        shape,
        parse_layout(settings.layout),
        _dtype(settings.precision, source),
        {**(RECOMPUTE if settings.recompute else {}), **settings.megatron},
        shape.moe_aux_loss if aux is None else aux,
    )
    weights.load(model, source)
    return source, model


def make_trainer(
    model: LocalModel, settings: ModelSettings, optimization: Optimization, steps: int
) -> training.Trainer:
    """The trainer of a run of `steps`."""
    return training.prepare(model, optimization, steps, overlap=settings.overlap)


def _dtype(precision: str, source: Folder) -> torch.dtype:
    if precision == "auto":
        return source.dtype(next(name for name in source.names if name.endswith("norm.weight")))
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
