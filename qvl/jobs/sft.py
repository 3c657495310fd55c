"""Supervised fine-tuning: the loop of `qvl sft`.

Every rank runs this. Files go in, a Hugging Face folder comes out; log.jsonl beside it says how.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.io.packed import PackedFile
from qvl.io.patches import load_rules
from qvl.jobs.order import Order

Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is. The report publishes no learning rate, batch or optimizer of its SFT, so the
    defaults are those of Qwen's own fine-tuning script (qwen-vl-finetune) where it has them."""

    model: str
    """Hugging Face folder to start from."""
    data: tuple[str, ...]
    """Packed files."""
    output: str
    """Hugging Face folder to write; checkpoints and the log lie in it."""
    media_root: str
    """Where the images' paths start."""
    epochs: float = 1.0
    """Passes over the data: the report makes one at 32K and one at 256K (section 4.2.1)."""
    steps: int | None = None
    """Optimizer steps, instead of epochs."""
    batch: int = 32
    """Packs an optimizer step, over all ranks. Our choice: 1M tokens at 32K."""
    lr: float = 1e-5
    """Peak learning rate, as in Qwen's script."""
    min_lr_ratio: float = 0.1
    """Last learning rate, as a share of the peak. Our choice."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; none said: 3 % of all, as in Qwen's script."""
    schedule: str = "cosine"
    """How the learning rate falls: cosine, as in Qwen's script, linear or constant."""
    weight_decay: float = 0.1
    """Of matrices; norms and biases have none. Our choice."""
    beta1: float = 0.9
    """AdamW's decay of the mean. Our choice."""
    beta2: float = 0.95
    """AdamW's decay of the square. Our choice."""
    eps: float = 1e-8
    """AdamW's epsilon. Our choice."""
    clip: float = 1.0
    """Largest norm of the gradient. Our choice."""
    freeze: tuple[str, ...] = ()
    """Parts that stay as they are: vision, merger, language."""
    precision: str = "auto"
    """bf16 with fp32 master weights, fp32, or that of the checkpoint."""
    seed: int = 0
    """Seed of the order of the packs."""
    save_every: int = 500
    """Steps from checkpoint to checkpoint; 0: only when stopped. Our choice."""
    keep: int = 2
    """Checkpoints that are kept. Our choice."""
    log_every: int = 10
    """Steps from line to line of the log."""
    resume: bool = False
    """Go on from the last checkpoint in the output folder, or begin where there is none."""
    allow_remote: bool = False
    """Fetch http(s) images."""
    megatron: dict[str, Any] = field(default_factory=dict)
    """Fields of Megatron's TransformerConfig."""


def check(settings: Settings) -> None:
    """What can be told before any process starts. UserError for what a user must mend."""
    from qvl.model.shape import load_shape

    load_shape(Path(settings.model))
    load_rules(Path(settings.model))
    for path in settings.data:
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; ranks cannot share a pipe")
    output = Path(settings.output)
    if output.exists() and output.samefile(settings.model):
        raise UserError(f"--output {output}: is the folder of --model")
    if (output / "log.jsonl").exists() and not settings.resume:
        raise UserError(f"--output {output}: holds a run; go on with --resume or remove it")
    for part in settings.freeze:
        if part not in ("vision", "merger", "language"):
            raise UserError(f"--freeze {part}: say vision, merger or language")
    if settings.schedule not in ("cosine", "linear", "constant"):
        raise UserError(f"--schedule {settings.schedule}: say cosine, linear or constant")
    if settings.precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"--precision {settings.precision}: say auto, bf16 or fp32")


def finished(settings: Settings) -> bool:
    """Whether a run to be resumed has nothing left to do: config.json is the last file written."""
    return settings.resume and (Path(settings.output) / "config.json").exists()


def run(settings: Settings, log: Log, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Train. `log` gets a line each `log_every` steps, on rank 0; `stopping` is asked each step.

    Returns what the run was: `step`, `steps`, `stopped`. A stopped run has left a checkpoint.
    """
    from qvl.megatron import parallel

    layout = parallel.Layout()
    parallel.start(layout, seed=settings.seed)
    try:
        return _train(settings, layout, log, stopping)
    finally:
        parallel.finish()


def _train(
    settings: Settings, layout: Any, log: Log, stopping: Callable[[], bool]
) -> dict[str, Any]:
    from qvl.megatron import checkpoint, parallel, training, weights
    from qvl.model.batch import loader, make_batch
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape

    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    source, shape = Folder(Path(settings.model)), load_shape(Path(settings.model))
    packs = PackedFile(settings.data, output)
    if packs.largest_id >= shape.vocab:
        raise UserError(
            f"{settings.data[0]}: token {packs.largest_id} is not in the model's vocabulary"
        )
    order = Order(len(packs), settings.batch, settings.seed)
    steps = settings.steps or order.num_steps(settings.epochs)
    rank, ranks = parallel.data_rank()
    if settings.batch % ranks:
        raise UserError(f"--batch {settings.batch}: {ranks} ranks cannot share it evenly")

    model = training.build_model(shape, layout, _dtype(settings, source), settings.megatron)
    weights.load(model, source)
    trainer = training.prepare(model, _optimization(settings, steps), settings.freeze)
    identity = {"packs": len(packs), "batch": settings.batch, "seed": settings.seed, "steps": steps}
    first = 0
    if settings.resume:
        first = _resume(trainer, output / "checkpoints", identity)
    load = loader(
        load_rules(Path(settings.model)),
        Path(settings.media_root),
        allow_remote=settings.allow_remote,
    )

    writer = Writer(output, log, anew=first == 0) if parallel.rank() == 0 else None
    if writer:
        writer.begin(
            {**asdict(settings), "steps": steps, "ranks": ranks, "packs": len(packs)}, first
        )
    state, number, stopped = {}, first, False
    for number in range(first + 1, steps + 1):
        chosen = order.step(number - 1)
        batches = (make_batch(packs[index], shape, load) for index in chosen[rank::ranks])
        total = sum(packs.loss_weight[index] for index in chosen)
        done = training.step(trainer, batches, len(chosen) // ranks, total)
        if not math.isfinite(done.loss):
            names = ", ".join(f"{packs[index]['id']}" for index in chosen[:8])
            raise UserError(f"step {number}: the loss is {done.loss}; its packs: {names}")
        if writer:
            tokens = sum(packs.num_tokens[index] for index in chosen)
            last = number == steps or number == first + 1
            writer.step(number, done, tokens, show=last or number % settings.log_every == 0)
        stopped = parallel.total([float(stopping())])[0] > 0
        state = {"step": number, **identity}
        due = settings.save_every and number % settings.save_every == 0
        if (stopped or due) and number < steps:
            checkpoint.save(trainer, output / "checkpoints", state, keep=settings.keep)
        if stopped:
            break
    packs.close()
    finished = number == steps
    if finished and parallel.rank() == 0:
        new = weights.export(model, source)
        source.write_like(output, new.__getitem__)
    parallel.barrier()
    return {"step": number, "steps": steps, "stopped": not finished}


def _resume(trainer: Any, folder: Path, identity: dict[str, Any]) -> int:
    """Restore the last checkpoint; return its step. UserError where it is of another run."""
    from qvl.megatron import checkpoint

    whole = checkpoint.saved(folder)
    if not whole:
        return 0
    path = whole[-1]
    state = checkpoint.load(trainer, path)
    for name, value in identity.items():
        if state.get(name) != value:
            raise UserError(
                f"--resume: {path} is of a run with {name} {state.get(name)}, not {value}"
            )
    return state["step"]


def _dtype(settings: Settings, source: Any) -> Any:
    import torch

    if settings.precision == "auto":
        return source.get(next(name for name in source.names if name.endswith("norm.weight"))).dtype
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[settings.precision]


def _optimization(settings: Settings, steps: int) -> Any:
    from qvl.megatron.training import Optimization

    warmup = settings.warmup_steps
    return Optimization(
        lr=settings.lr,
        min_lr=settings.lr * settings.min_lr_ratio,
        warmup_steps=round(0.03 * steps) if warmup is None else min(warmup, steps - 1),
        steps=steps,
        schedule=settings.schedule,
        weight_decay=settings.weight_decay,
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        clip=settings.clip,
    )


class Writer:
    """log.jsonl: first what the run is, then a line each few steps. Rank 0 has one."""

    def __init__(self, output: Path, log: Log, *, anew: bool) -> None:
        self.output, self.log = output, log
        self.file = (output / "log.jsonl").open("wb" if anew else "ab")
        self.started = self.since = time.monotonic()
        self.tokens, self.seen = 0, 0

    def begin(self, settings: dict[str, Any], step: int) -> None:
        self._line({"settings": settings, "step": step})
        path = self.output / "sft.json"
        path.write_bytes(orjson.dumps(settings, option=orjson.OPT_INDENT_2) + b"\n")

    def step(self, number: int, done: Any, tokens: int, *, show: bool) -> None:
        self.tokens += tokens
        self.seen += tokens
        if not show:
            return
        now = time.monotonic()
        row = {
            "step": number,
            "loss": round(done.loss, 6),
            "grad_norm": round(done.grad_norm, 4),
            "lr": done.lr,
            "tokens": self.seen,
            "tokens_per_second": round(self.tokens / max(now - self.since, 1e-9), 1),
            "seconds": round(now - self.started, 2),
        }
        self.since, self.tokens = now, 0
        self._line(row)
        self.log(row)

    def _line(self, row: dict[str, Any]) -> None:
        self.file.write(orjson.dumps(row) + b"\n")
        self.file.flush()
