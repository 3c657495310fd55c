"""The settings of a training run, apart by who reads them, and the checks before any process starts.

The report publishes no learning rate, batch or optimizer of its SFT, so the defaults are those of
Qwen's own fine-tuning script (qwen-vl-finetune) where it has them, and else our choice.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media.patches import load_rules
from qvl.model.layout import Layout, parse_layout

SCHEDULES = ("cosine", "linear", "constant", "wsd")
FREEZABLE = ("vision", "merger", "language")
PRECISIONS = ("auto", "bf16", "fp32")
ON_SPIKE = ("stop", "skip")
RECOMPUTE: dict[str, Any] = {  # fields of Megatron's TransformerConfig
    "recompute_granularity": "full",
    "recompute_method": "uniform",
    "recompute_num_layers": 1,
}


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which packs a step takes, and how their images are read: for the sampler and the dataloader."""

    data: tuple[str, ...]
    """Packed files; `epochs` counts passes over these."""
    media_root: str
    """Folder that the images' paths are relative to."""
    allow_remote: bool = False
    """Fetch http(s) images."""
    interleave: tuple[str, ...] = ()
    """Packed files between whose packs those of `data` come: 32K data in the stage at 256K, a
    curriculum that the report names without a ratio (section 4.2.1)."""
    interleave_share: float = 0.5
    """Share of the packs that are interleaved. Our choice."""
    curriculum: bool = False
    """Train on the files of `data` one after the other, each shuffled by itself."""
    epochs: float = 1.0
    """Passes over the data: the report makes one at 32K and one at 256K (section 4.2.1). In a
    curriculum, passes over each file before the next."""
    steps: int | None = None
    """Optimizer steps, instead of epochs."""
    batch: int = 32
    """Packs per optimizer step, over all ranks. Our choice: 1M tokens at 32K."""
    validation: tuple[str, ...] = ()
    """Packed files that are not trained on, whose loss is measured."""
    validate_every: int = 100
    """Steps between measurements; one follows the last step, too. Our choice."""
    seed: int = 0
    """Seed of the order of the packs."""
    workers: int | None = None
    """Processes per rank that preprocess images ahead of time; None: half of the rank's share of
    the cores, at most 4. Our choice."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """AdamW, its learning rate and what it trains: for the optimizer."""

    lr: float = 1e-5
    """Peak learning rate, as in Qwen's script."""
    min_lr_ratio: float = 0.1
    """Last learning rate, as a share of the peak. Our choice."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; None: 3 % of all, as in Qwen's script."""
    schedule: str = "cosine"
    """How the learning rate falls: cosine, as in Qwen's script, linear, constant, or wsd: constant,
    then linear over the last `decay_share`."""
    decay_share: float = 0.1
    """Share of the steps over which wsd decays. Our choice."""
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
    """Parts that are not trained: vision, merger, language."""
    megatron_optimizer: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Megatron's OptimizerConfig: the optimizer's state on the host, or in fewer bits."""

    @property
    def min_lr(self) -> float:
        """Last learning rate."""
        return self.lr * self.min_lr_ratio

    def warmup(self, steps: int) -> int:
        """Steps of warm-up in a run of `steps`."""
        if self.warmup_steps is None:
            return round(0.03 * steps)
        return min(self.warmup_steps, steps - 1)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model and how ranks share it: for whoever builds it."""

    model: str
    """Hugging Face folder to start from."""
    layout: str = ""
    """How ranks share the model: tp=, pp=, vp=, cp=, ep=, sp=; the rest is data parallel."""
    precision: str = "auto"
    """bf16 with fp32 master weights, fp32, or that of the checkpoint."""
    recompute: bool = False
    """Keep only the inputs of the decoder's layers, and the tokens of images, and compute the rest
    again in the backward pass."""
    overlap: bool = False
    """Send gradients and parameters while a step is computed. Off until it has run on GPUs."""
    moe_aux_loss: float | None = None
    """Coefficient of the experts' load-balancing loss; None: the checkpoint's router_aux_loss_coef."""
    threads: int | None = None
    """Of torch on a CPU, per rank; None: 1 for a small model, else one per core (qvl.threads)."""
    megatron: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Megatron's TransformerConfig."""


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """What a run saves to be resumed from, and when it stops by itself: for the loop."""

    output: str
    """Hugging Face folder to write; checkpoints and the log lie in it."""
    save_every: int = 500
    """Steps between checkpoints; 0: only when stopped. Our choice."""
    keep: int = 2
    """Number of checkpoints to keep. Our choice."""
    resume: bool = False
    """Continue from the last checkpoint in the output folder, or start if there is none."""
    max_jump: float = 2.0
    """A step whose loss is more nats above the median of the last 32 is rejected; 0: any finite
    loss is accepted. Our choice."""
    on_spike: str = "stop"
    """What becomes of a run with a rejected step: stop, or skip the step."""

    @property
    def finished(self) -> bool:
        """Whether a run to be resumed has nothing left to do: config.json is the last file written."""
        return self.resume and (Path(self.output) / "config.json").exists()


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What a run reports: for the log."""

    log_every: int = 10
    """Steps between rows of the log."""
    tensorboard: bool = False
    """Write the log's figures for TensorBoard too."""
    peak_teraflops: float | None = None
    """Of one device, for the utilisation (MFU); None: known for the usual GPUs."""


def flat(settings: Any) -> dict[str, Any]:
    """Every setting of a run by its name; settings: a dataclass of dataclasses."""
    return {name: value for part in asdict(settings).values() for name, value in part.items()}


def check_model(settings: ModelSettings, ranks: int) -> None:
    """UserError where `ranks` processes cannot train this model as it says."""
    from qvl.model.shape import load_shape

    parse_layout(settings.layout).check(load_shape(Path(settings.model)), ranks)
    load_rules(Path(settings.model))
    check_choice("--precision", settings.precision, PRECISIONS)


def check_data(settings: DataSettings, layout: Layout, ranks: int) -> None:
    """UserError where a file is missing, or `ranks` processes cannot share a batch."""
    check_batch(settings.batch, layout, ranks // layout.ranks_per_model)
    for path in (*settings.data, *settings.interleave, *settings.validation):
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; ranks cannot share a pipe")
    if not 0 < settings.epochs < math.inf:
        raise UserError(f"--epochs {settings.epochs}: expected a number above 0")
    if not 0 < settings.interleave_share < 1:
        raise UserError("--interleave-share: expected a share of the packs between 0 and 1")


def check_batch(batch: int, layout: Layout, ranks: int) -> None:
    """UserError where `ranks` ranks with data of their own cannot share the packs of a step."""
    if batch % ranks:
        raise UserError(f"--batch {batch}: {ranks} ranks cannot share it evenly")
    if layout.virtual > 1 and batch // ranks % layout.pipeline:
        raise UserError(
            f"--batch {batch}: interleaved stages need a multiple of {ranks * layout.pipeline}"
        )


def check_optimization(settings: Optimization) -> None:
    """UserError for an unknown part or schedule."""
    for part in settings.freeze:
        check_choice("--freeze", part, FREEZABLE)
    check_choice("--schedule", settings.schedule, SCHEDULES)


def check_output(settings: Checkpointing, model: str) -> None:
    """UserError where a run would overwrite its own model, or another run."""
    output = Path(settings.output)
    if output.exists() and output.samefile(model):
        raise UserError(f"--output {output}: is the folder of --model; choose another")
    if (output / "log.jsonl").exists() and not settings.resume:
        raise UserError(f"--output {output}: holds a run; continue it with --resume or remove it")
    check_choice("--on-spike", settings.on_spike, ON_SPIKE)


def check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    """UserError for a value that is none of the choices."""
    if value not in choices:
        raise UserError(f"{flag} {value}: expected {', '.join(choices[:-1])} or {choices[-1]}")
