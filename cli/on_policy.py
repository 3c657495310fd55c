"""The options of the commands that learn on-policy: how a step is made, and how the model is trained."""

from typing import Annotated, Any, ClassVar

import typer

from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import UserError
from qvl.reward.time_limit import VERDICT_SECONDS
from qvl.rollout import settings as defaults
from qvl.rollout.settings import PolicySettings, RewardSettings, SamplingSettings
from qvl.settings import Checkpointing, Logging, ModelSettings, Optimization

from .groups import group
from .options import Layout, MaxErrorRate, MediaOptions, Seed, VerdictSeconds, Verifier
from .training import (
    Clip,
    Freeze,
    Nproc,
    Precision,
    Recompute,
    Resume,
    SaveEvery,
    StartModel,
    Tensorboard,
    Threads,
    TrainedModel,
)

LR = 1e-6  # as in the examples of verl and TRL; the report publishes none

Queries = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="Records that ask something")
]
Minibatches = Annotated[int, typer.Option(metavar="N", min=1, help="Optimizer steps per step")]


@group
class LoopOptions:
    """How the queries of a step are sampled, judged, and evaluated."""

    title: ClassVar = "Loop options"

    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            envvar="QVL_ENDPOINT",
            help="Engine that serves the model: qvl serve, vLLM or SGLang",
        ),
    ] = None
    rollouts_only: Annotated[
        bool, typer.Option("--rollouts-only", help="Sample and score the steps, and learn nothing")
    ] = False
    batch: Annotated[
        int,
        typer.Option("--batch", metavar="QUERIES", min=1, help="Queries per step (our choice)"),
    ] = defaults.QUERIES_PER_STEP
    epochs: Annotated[float, typer.Option("--epochs", help="Passes over the queries")] = (
        PolicySettings.epochs
    )
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Steps, instead of epochs")
    ] = None
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens", metavar="N", min=1, help="Maximum tokens of a response (our choice)"
        ),
    ] = defaults.MAX_TOKENS
    max_staleness: Annotated[
        int,
        typer.Option(
            "--max-staleness",
            metavar="STEPS",
            min=0,
            help="1: sample the next step while one is trained; 0 is exactly on-policy",
        ),
    ] = PolicySettings.staleness
    max_gap: Annotated[
        float | None,
        typer.Option(
            "--max-gap",
            metavar="NATS",
            min=0,
            help="Stop if engine and trainer differ by more per token; by default "
            "0.001 in fp32, 0.05 in bf16 (our choice)",
        ),
    ] = None
    verifier: Verifier = None
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE
    verdict_seconds: VerdictSeconds = VERDICT_SECONDS
    jobs: Annotated[
        int,
        typer.Option("--jobs", metavar="N", min=1, help="Processes that verify (our choice)"),
    ] = RewardSettings.jobs
    eval_: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="FILE", help="Held-out records to evaluate on; repeatable"),
    ] = None
    eval_every: Annotated[
        int,
        typer.Option(
            "--eval-every", metavar="STEPS", min=1, help="Steps between evaluations (our choice)"
        ),
    ] = 10
    eval_samples: Annotated[
        int,
        typer.Option(
            "--eval-samples",
            metavar="N",
            min=0,
            help="Responses to each held-out record besides the greedy one",
        ),
    ] = SamplingSettings.eval_samples
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=1,
            help="Requests to the engine in flight (our choice)",
        ),
    ] = SamplingSettings.concurrency
    share_devices: Annotated[
        bool,
        typer.Option(
            "--share-devices", help="Engine and trainer have the same GPUs: it sleeps in between"
        ),
    ] = False
    weights_dir: Annotated[
        str | None,
        typer.Option(
            "--weights-dir",
            metavar="DIR",
            help="Folder for the weights that the engine loads, such as one in /dev/shm",
        ),
    ] = None

    def check(self, queries: list[str] | None, rollouts: list[str] | None, stored: str) -> None:
        """UserError for a run without queries, or with two kinds. `stored`: what --rollouts takes."""
        if not (queries or rollouts):
            raise UserError(f"no queries; give FILE, or --rollouts FILE of {stored}")
        if queries and rollouts:
            raise UserError("--rollouts: the queries are in it; give no FILE")
        if queries and not self.endpoint:
            raise UserError("no engine; give --endpoint URL, or run inside qvl serve MODEL -- ...")

    def sampling(
        self,
        training: "TrainingOptions",
        media: MediaOptions,
        queries: list[str] | None,
        rollouts: list[str] | None,
        **own: Any,
    ) -> SamplingSettings:
        """The settings of sampling; `own` are those of the command."""
        return SamplingSettings(
            model=training.model,
            queries=tuple(queries or ()),
            output=training.output,
            endpoint=self.endpoint or "",
            media_root=str(media.root(queries or rollouts)),
            allow_remote=media.allow_remote,
            queries_per_step=self.batch,
            max_tokens=self.max_tokens,
            concurrency=self.concurrency,
            seed=training.seed,
            held_out=tuple(self.eval_ or ()),
            eval_samples=self.eval_samples,
            share_devices=self.share_devices,
            **own,
        )

    def rewards(self, **own: Any) -> RewardSettings:
        """The settings of rewards; `own` are those of the command."""
        return RewardSettings(
            verifier=self.verifier,
            seconds=self.verdict_seconds,
            jobs=self.jobs,
            max_error_rate=self.max_error_rate,
            **own,
        )

    def policy(
        self, training: "TrainingOptions", rollouts: list[str] | None, **own: Any
    ) -> PolicySettings:
        """The settings of the loop; `own` are those of the command."""
        return PolicySettings(
            epochs=self.epochs,
            steps=self.steps,
            staleness=self.max_staleness,
            pack_tokens=training.pack_tokens,
            max_gap=self.max_gap,
            evaluate_every=self.eval_every if self.eval_ else 0,
            weights=self.weights_dir,
            stored=tuple(rollouts or ()),
            **own,
        )


@group
class TrainingOptions:
    """How the model learns from a step."""

    title: ClassVar = "Training options"

    model: StartModel
    output: TrainedModel
    nproc: Nproc = 1
    layout: Layout = ModelSettings.layout
    pack_tokens: Annotated[
        int,
        typer.Option(
            "--pack-tokens", metavar="TOKENS", min=1, help="Tokens per micro-batch (our choice)"
        ),
    ] = PolicySettings.pack_tokens
    lr: Annotated[float, typer.Option("--lr", help="Learning rate (our choice)")] = LR
    warmup_steps: Annotated[
        int,
        typer.Option(
            "--warmup-steps", metavar="N", min=0, help="Optimizer steps of linear warm-up"
        ),
    ] = 0
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="Weight decay of matrices")
    ] = 0.0
    clip: Clip = Optimization.clip
    freeze: Freeze = None
    precision: Precision = ModelSettings.precision
    threads: Threads = None
    recompute: Recompute = False
    seed: Seed = 0
    save_every: SaveEvery = 10
    tensorboard: Tensorboard = False
    resume: Resume = False

    def settings(self, frozen: tuple[str, ...] = ()) -> dict[str, Any]:
        """The settings that every job has, by their names; `frozen`: parts beside those of --freeze."""
        return {
            "model": ModelSettings(
                model=self.model,
                layout=self.layout,
                precision=self.precision,
                recompute=self.recompute,
                threads=self.threads,
            ),
            "optimization": Optimization(
                lr=self.lr,
                warmup_steps=self.warmup_steps,
                schedule="constant",
                weight_decay=self.weight_decay,
                clip=self.clip,
                freeze=tuple(dict.fromkeys([*frozen, *(self.freeze or ())])),
            ),
            "checkpointing": Checkpointing(
                output=self.output, save_every=self.save_every, resume=self.resume
            ),
            "logging": Logging(log_every=1, tensorboard=self.tensorboard),
        }
