"""What a run of `qvl sft` is, and what can be said against it before any process starts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media.patches import load_rules
from qvl.model.layout import Layout, parse_layout

SCHEDULES = ("cosine", "linear", "constant", "wsd")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is. The report publishes no learning rate, batch or optimizer of its SFT, so the
    defaults are those of Qwen's own fine-tuning script (qwen-vl-finetune) where it has them."""

    model: str
    """Hugging Face folder to start from."""
    data: tuple[str, ...]
    """Packed files; `epochs` counts passes over these."""
    output: str
    """Hugging Face folder to write; checkpoints and the log lie in it."""
    media_root: str
    """Where the images' paths start."""
    interleave: tuple[str, ...] = ()
    """Packed files between whose packs those of `data` come: 32K data in the stage at 256K, a
    curriculum that the report names and gives no ratio of (section 4.2.1)."""
    interleave_share: float = 0.5
    """Share of the packs that are interleaved. Our choice."""
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
    """Parts that stay as they are: vision, merger, language."""
    precision: str = "auto"
    """bf16 with fp32 master weights, fp32, or that of the checkpoint."""
    layout: str = ""
    """How ranks share the model: tp=, pp=, vp=, cp=, ep=, sp=; the rest is data parallel."""
    recompute: bool = False
    """Keep only the inputs of the decoder's layers, and the tokens of images, and compute the rest
    again on the way back."""
    overlap: bool | None = None
    """Send gradients and parameters while a step is computed; none said: on GPUs."""
    moe_aux_loss: float | None = None
    """Coefficient of the experts' load-balancing loss; none said: the checkpoint's
    router_aux_loss_coef."""
    workers: int | None = None
    """Processes a rank that cut images ahead of time; none said: half of its share of the cores, at
    most 4. Our choice."""
    max_jump: float = 2.0
    """A step whose loss is more nats above the median of the last 32 is not taken; 0: any finite
    loss is. Our choice."""
    on_spike: str = "stop"
    """What becomes of a run with such a step, or one that is not finite: stop, or skip the step."""
    seed: int = 0
    """Seed of the order of the packs."""
    save_every: int = 500
    """Steps from checkpoint to checkpoint; 0: only when stopped. Our choice."""
    keep: int = 2
    """Checkpoints that are kept. Our choice."""
    log_every: int = 10
    """Steps from line to line of the log."""
    tensorboard: bool = False
    """Write the log's figures for TensorBoard too."""
    peak_teraflops: float | None = None
    """Of one device, for the utilisation (MFU); none said: known for the usual GPUs."""
    resume: bool = False
    """Go on from the last checkpoint in the output folder, or begin where there is none."""
    allow_remote: bool = False
    """Fetch http(s) images."""
    megatron: dict[str, Any] = field(default_factory=dict)
    """Fields of Megatron's TransformerConfig."""


def check(settings: Settings, ranks: int) -> None:
    """UserError for what a user must mend before `ranks` processes are started."""
    from qvl.model.shape import load_shape

    layout = parse_layout(settings.layout)
    layout.check(load_shape(Path(settings.model)), ranks)
    check_batch(settings.batch, layout, ranks // layout.ranks_per_model)
    load_rules(Path(settings.model))
    for path in (*settings.data, *settings.interleave):
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
    if settings.schedule not in SCHEDULES:
        raise UserError(f"--schedule {settings.schedule}: say {', '.join(SCHEDULES)}")
    if settings.on_spike not in ("stop", "skip"):
        raise UserError(f"--on-spike {settings.on_spike}: say stop or skip")
    if not 0 < settings.interleave_share < 1:
        raise UserError("--interleave-share: a share of the packs, between 0 and 1")
    if settings.precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"--precision {settings.precision}: say auto, bf16 or fp32")


def check_batch(batch: int, layout: Layout, ranks: int) -> None:
    """UserError where `ranks` ranks with data of their own cannot share the packs of a step."""
    if batch % ranks:
        raise UserError(f"--batch {batch}: {ranks} ranks cannot share it evenly")
    if layout.virtual > 1 and batch // ranks % layout.pipeline:
        raise UserError(
            f"--batch {batch}: interleaved stages want a multiple of {ranks * layout.pipeline}"
        )


def finished(settings: Settings) -> bool:
    """Whether a run to be resumed has nothing left to do: config.json is the last file written."""
    return settings.resume and (Path(settings.output) / "config.json").exists()
