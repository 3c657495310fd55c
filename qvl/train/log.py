"""What a training run reports: log.jsonl, TensorBoard, and a row for standard error."""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from qvl.errors import UserError, need
from qvl.io import atomic
from qvl.settings import Logging
from qvl.train.loss_guard import Suspect

Row = dict[str, Any]
Show = Callable[[Row], None]


class Done(Protocol):
    """A step that was taken; see qvl.megatron.training.Step."""

    loss: float
    metrics: dict[str, float]
    grad_norm: float
    lr: float
    moe_aux_loss: float | None
    expert_imbalance: float | None


class TrainingLog:
    """Accumulates steps and writes a row every few of them. One rank has it."""

    def __init__(
        self, folder: Path, settings: Logging, show: Show, *, steps: int, peak: float | None
    ) -> None:
        """show: gets each row. steps: of the run. peak: TFLOP/s of all devices together; None leaves
        out the utilisation."""
        self.folder, self.every, self.show = folder, settings.log_every, show
        self.steps, self.peak = steps, peak
        self._board = _board(folder / "tensorboard") if settings.tensorboard else None
        self._tokens = self._flops = self._waited = 0.0
        self.seen = 0  # tokens

    def begin(self, settings: Row, step: int, name: str) -> None:
        """Start the log of a new run, or of one that is resumed after `step`: rows of later steps
        are removed. The settings are its first line, and the file `name`.json."""
        path = self.folder / "log.jsonl"
        rows = _rows(path) if step else []
        kept = [row for row in rows if "settings" in row or row["step"] <= step]
        self.seen = max((row.get("tokens", 0) for row in kept), default=0)
        self._evaluated = {row["step"] for row in kept if "evaluation" in row}
        atomic.write(path, b"".join(orjson.dumps(row) + b"\n" for row in kept))
        self._file = path.open("ab")
        self._line({"settings": settings, "step": step})
        text = orjson.dumps(settings, option=orjson.OPT_INDENT_2) + b"\n"
        atomic.write(self.folder / f"{name}.json", text)
        self.started = self._since = time.monotonic()
        self._first = step

    def step(
        self,
        number: int,
        done: Done,
        *,
        tokens: int,
        flops: float,
        waited: float,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Account for a step. flops: of all ranks. waited: seconds for data, since the start. extra:
        further figures of the step, for its row."""
        self.seen += tokens
        self._tokens += tokens
        self._flops += flops
        if number not in (self._first + 1, self.steps) and number % self.every:
            return
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        rate = self._flops / seconds / 1e12
        left = self.steps - number
        row = {
            "step": number,
            **extra,
            **_figures(done),
            "tokens": self.seen,
            "tokens_per_second": round(self._tokens / seconds, 1),
            "teraflops": float(f"{rate:.4g}"),
            **({"mfu": round(rate / self.peak, 4)} if self.peak else {}),
            "memory_gb": round(_memory(), 3),
            "waited": round((waited - self._waited) / seconds, 4),
            "seconds": round(now - self.started, 2),
            "eta_seconds": round(left * (now - self.started) / (number - self._first), 1),
        }
        self._since, self._waited = now, waited
        self._tokens = self._flops = 0.0
        self._line(row)
        if self._board:
            for name, value in row.items():
                if name != "step" and not isinstance(value, dict):
                    self._board.add_scalar(name, value, number)
        self.show({**row, "steps": self.steps})

    def evaluation(self, number: int, figures: Mapping[str, float]) -> None:
        """The figures of an evaluation after a step; of one that the log of the run before has, nothing."""
        if number in self._evaluated:
            return
        self._line({"step": number, "evaluation": dict(figures)})
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(f"evaluation/{name}", value, number)
        self.show({"step": number, "steps": self.steps, "evaluation": dict(figures)})

    def rejected(self, number: int, reason: str, suspects: list[Suspect]) -> None:
        """A step that was not taken."""
        named = {each.record: each.value for each in suspects}
        self._line({"step": number, "rejected": reason, "records": named})

    def close(self) -> None:
        self._file.close()
        if self._board:
            self._board.close()

    def _line(self, row: Row) -> None:
        self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()


def _figures(done: Done) -> Row:
    """Of a step: its loss and what the loss reports, the optimizer's figures."""
    figures = {name: round(value, 6) for name, value in done.metrics.items()}
    figures |= {"loss": round(done.loss, 6), "grad_norm": round(done.grad_norm, 4), "lr": done.lr}
    if done.moe_aux_loss is not None:
        figures["moe_aux_loss"] = round(done.moe_aux_loss, 4)
    if done.expert_imbalance is not None:
        figures["expert_imbalance"] = round(done.expert_imbalance, 4)
    return figures


def _rows(path: Path) -> list[Row]:
    """The log's whole lines; the last one may be truncated by a kill."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            break
    return rows


def _board(folder: Path) -> Any:
    need("tensorboard", extra="train")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(f"--tensorboard: {error}") from None
    return SummaryWriter(str(folder))


def _memory() -> float:
    """Peak memory of this rank in GB: of its GPU, else resident."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
