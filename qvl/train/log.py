"""What a training run says of itself: log.jsonl, TensorBoard, and the line on standard error."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError, need
from qvl.io import atomic

Row = dict[str, Any]
Log = Callable[[Row], None]


class Metrics:
    """Gathers steps and writes a row each few of them. One rank has it."""

    def __init__(
        self, folder: Path, log: Log, *, tensorboard: bool, peak_teraflops: float | None
    ) -> None:
        """`peak_teraflops`: of all devices together; None leaves out the utilisation."""
        self.folder, self.log, self.peak = folder, log, peak_teraflops
        self._board = _board(folder / "tensorboard") if tensorboard else None
        self._tokens = self._flops = self._waited = 0.0
        self.seen = 0  # tokens

    def begin(self, settings: Row, step: int) -> None:
        """A run that begins anew, or goes on behind `step`: rows of later steps are taken out."""
        path = self.folder / "log.jsonl"
        rows = _rows(path) if step else []
        kept = [row for row in rows if "settings" in row or row["step"] <= step]
        self.seen = max((row.get("tokens", 0) for row in kept), default=0)
        atomic.write(path, b"".join(orjson.dumps(row) + b"\n" for row in kept))
        self._file = path.open("ab")
        self._line({"settings": settings, "step": step})
        atomic.write(
            self.folder / "sft.json", orjson.dumps(settings, option=orjson.OPT_INDENT_2) + b"\n"
        )
        self.started = self._since = time.monotonic()
        self._first = step

    def step(
        self,
        number: int,
        facts: Row,
        *,
        tokens: int,
        flops: float,
        waited: float,
        of: int,
        show: bool,
    ) -> None:
        """Account for a step of `of`. flops: of all ranks. waited: seconds, since the start."""
        self.seen += tokens
        self._tokens += tokens
        self._flops += flops
        if not show:
            return
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        rate = self._flops / seconds / 1e12
        row = {
            "step": number,
            **facts,
            "tokens": self.seen,
            "tokens_per_second": round(self._tokens / seconds, 1),
            "teraflops": float(f"{rate:.4g}"),
            **({"mfu": round(rate / self.peak, 4)} if self.peak else {}),
            "memory_gb": round(_memory(), 3),
            "waited": round((waited - self._waited) / seconds, 4),
            "seconds": round(now - self.started, 2),
            "eta_seconds": round((of - number) * (now - self.started) / (number - self._first), 1),
        }
        self._since, self._waited = now, waited
        self._tokens = self._flops = 0.0
        self._line(row)
        if self._board:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, number)
        self.log({**row, "steps": of})

    def rejected(self, number: int, reason: str, suspects: list[Any]) -> None:
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


def _rows(path: Path) -> list[Row]:
    """The log's whole lines; the last one may have been cut by a kill."""
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
    """The most that this rank has held, in GB: of its GPU, else resident."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
