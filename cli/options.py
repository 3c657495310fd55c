"""Options that several commands share, so that a flag is spelt and explained once."""

from typing import Annotated

import typer

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="JSONL, plain or zstd; several are one stream; - is standard input",
    ),
]
Output = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FILE", help="Write here, whole or not at all"),
]
Rejects = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write what is dropped here, each with its reason"),
]
OnError = Annotated[
    str,
    typer.Option(metavar="stop|reject", help="A bad line stops the command, or goes to --rejects"),
]
Plain = Annotated[bool, typer.Option("--plain", help="Write plain JSON lines, not zstd")]
Report = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the account of the run here, as JSON")
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Take only every Nth record, beginning with the Ith"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run with -o FILE stopped")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of what is drawn at random")]
Jobs = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Work on so many cores; what is written stays the same"),
]
MediaRoot = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Media paths start here, not in the folder of the first FILE"),
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Fetch http(s) media, never from private addresses")
]
Endpoint = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL", envvar="QVL_ENDPOINT", help="Ask here; repeat it for several servers"
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="The model's name, if several are served")
]
TopP = Annotated[
    float | None, typer.Option(metavar="X", help="Sample from this share; else the server's")
]
TopK = Annotated[
    int | None, typer.Option(metavar="N", help="Sample from so many; else the server's")
]
PresencePenalty = Annotated[
    float | None, typer.Option(metavar="X", help="Lower what was said; else the server's")
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="End answers here; else the server's")
]
Concurrency = Annotated[
    int, typer.Option(metavar="N", min=1, help="Requests in flight (our choice)")
]
Retries = Annotated[
    int, typer.Option(metavar="N", min=0, help="Further attempts a request (our choice)")
]
TimeoutSeconds = Annotated[
    float, typer.Option(metavar="X", min=0.001, help="Longest wait for an answer (our choice)")
]
VerdictSeconds = Annotated[
    float, typer.Option(metavar="X", min=0.001, help="Longest time for a verdict (our choice)")
]
Cache = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Keep answers here, and ask for none that is known"),
]
Layout = Annotated[
    str,
    typer.Option(
        metavar="tp=N,pp=N,vp=N,cp=N,ep=N",
        help="How processes share the model; the rest is data parallel. sp=0: no sequence parallelism",
    ),
]
JudgeUrl = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="URL", help="Ask a model served here; repeat it for several"),
]
JudgeModel = Annotated[
    list[str] | None,
    typer.Option("--judge-model", metavar="NAME", help="The judge's name, if several are served"),
]
JudgePrompt = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The judge's fields and instructions, in place of ours"),
]
RewardModelUrl = Annotated[
    list[str] | None,
    typer.Option(
        "--reward-model", metavar="URL", help="Ask a scalar reward model served here; repeatable"
    ),
]
RewardModelName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Its name, if several models are served")
]
FreeText = Annotated[
    bool, typer.Option("--free-text", help="Ask for no JSON schema: for a judge that thinks aloud")
]
MaxTotalTokens = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Ask no more once so many were read and written"),
]
MaxErrorRate = Annotated[
    float,
    typer.Option(metavar="X", min=0, max=1, help="Stop when more have no verdict (our choice)"),
]
