"""The options of the commands that learn on-policy: what is sampled, evaluated and trained."""

from typing import Annotated

import typer

StudentEndpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="QVL_ENDPOINT",
        help="Engine that serves the model: qvl serve, vLLM or SGLang",
    ),
]
RolloutsOnly = Annotated[
    bool, typer.Option("--rollouts-only", help="Sample and score the steps, and learn nothing")
]
QueriesPerStep = Annotated[
    int, typer.Option(metavar="QUERIES", min=1, help="Queries per step (our choice)")
]
Minibatches = Annotated[int, typer.Option(metavar="N", min=1, help="Optimizer steps per step")]
Epochs = Annotated[float, typer.Option(help="Passes over the queries")]
Steps = Annotated[int | None, typer.Option(metavar="N", min=1, help="Steps, instead of epochs")]
MaxTokens = Annotated[
    int, typer.Option(metavar="N", min=1, help="Maximum tokens of a response (our choice)")
]
MaxStaleness = Annotated[
    int,
    typer.Option(
        metavar="STEPS",
        min=0,
        help="1: sample the next step while one is trained; 0 is exactly on-policy",
    ),
]
MaxGap = Annotated[
    float | None,
    typer.Option(
        metavar="NATS",
        min=0,
        help="Stop if engine and trainer differ by more per token; by default "
        "0.001 in fp32, 0.05 in bf16 (our choice)",
    ),
]
VerifyJobs = Annotated[
    int, typer.Option(metavar="N", min=1, help="Processes that verify (our choice)")
]
HeldOut = Annotated[
    list[str] | None,
    typer.Option("--eval", metavar="FILE", help="Held-out records to evaluate on; repeatable"),
]
EvalEvery = Annotated[
    int, typer.Option(metavar="STEPS", min=1, help="Steps between evaluations (our choice)")
]
EvalSamples = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Responses to each held-out record besides the greedy one"
    ),
]
Concurrency = Annotated[
    int, typer.Option(metavar="N", min=1, help="Requests to the engine in flight (our choice)")
]
ShareDevices = Annotated[
    bool,
    typer.Option(
        "--share-devices", help="Engine and trainer have the same GPUs: it sleeps in between"
    ),
]
PackTokens = Annotated[
    int, typer.Option(metavar="TOKENS", min=1, help="Tokens per micro-batch (our choice)")
]
WeightsDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Folder for the weights that the engine loads, such as one in /dev/shm",
    ),
]
LearningRate = Annotated[float, typer.Option(help="Learning rate (our choice)")]
WarmupSteps = Annotated[
    int, typer.Option(metavar="N", min=0, help="Optimizer steps of linear warm-up")
]
WeightDecay = Annotated[float, typer.Option(help="Weight decay of matrices")]
