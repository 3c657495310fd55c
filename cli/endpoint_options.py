"""The options of commands that send requests to a model: an endpoint, a judge, a reward model."""

from typing import Annotated, Any, ClassVar

import typer

from qvl import client
from qvl.sampling import presets

from .groups import group


@group
class EndpointOptions:
    """Which model answers."""

    title: ClassVar = "Endpoint options"

    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            envvar="QVL_ENDPOINT",
            help="OpenAI-compatible server; repeat it to spread requests over several",
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Model name, if several are served"),
    ] = None


@group
class SamplingOptions:
    """How responses are sampled; what is not given is left to the server."""

    title: ClassVar = "Sampling options"

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="|".join(presets.PRESETS),
            help="Sampling settings of the Qwen3-VL report; other flags override them",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            metavar="X",
            min=0,
            help="Sampling temperature, 0 for greedy decoding; by default the server's",
        ),
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p",
            metavar="X",
            help="Nucleus sampling probability mass; by default the server's",
        ),
    ] = None
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            metavar="N",
            help="Sample from the N most likely tokens; by default the server's",
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        typer.Option(
            "--presence-penalty",
            metavar="X",
            help="Penalty on tokens that have appeared; by default the server's",
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            metavar="N",
            min=1,
            help="Maximum number of tokens to generate; by default the server's",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        """The parameters of a request: the preset's, with those that were given in their place."""
        given = {name: value for name, value in vars(self).items() if name != "preset"}
        return presets.sampling(self.preset, given)


@group
class RequestOptions:
    """How requests are sent, and how many tokens they may cost."""

    title: ClassVar = "Request options"

    concurrency: Annotated[
        int,
        typer.Option("--concurrency", metavar="N", min=1, help="Maximum number of open requests"),
    ] = client.CONCURRENCY
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", min=0, help="Maximum retries per request")
    ] = client.RETRIES
    timeout_seconds: Annotated[
        float,
        typer.Option(
            "--timeout-seconds", metavar="X", min=0.001, help="Maximum seconds per request"
        ),
    ] = client.TIMEOUT_SECONDS
    max_total_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-total-tokens",
            metavar="N",
            min=1,
            help="Send no more requests after N prompt and completion tokens",
        ),
    ] = None
    cache: Annotated[
        str | None,
        typer.Option(
            "--cache", metavar="FILE", help="Keep responses here, and reuse those of equal requests"
        ),
    ] = None

    def limits(self) -> dict[str, Any]:
        """As arguments of `qvl.client.Client`."""
        return {
            "concurrency": self.concurrency,
            "retries": self.retries,
            "timeout_seconds": self.timeout_seconds,
        }


@group
class JudgeOptions:
    """Models that judge."""

    title: ClassVar = "Judge options"

    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", metavar="URL", help="Server of a judge model; repeatable"),
    ] = None
    judge_model: Annotated[
        list[str] | None,
        typer.Option(
            "--judge-model", metavar="NAME", help="Judge's name, if several are served; repeatable"
        ),
    ] = None
    judge_prompt: Annotated[
        str | None,
        typer.Option(
            "--judge-prompt",
            metavar="FILE",
            help="Fields and instructions for the judge, instead of the built-in ones",
        ),
    ] = None
    free_text: Annotated[
        bool,
        typer.Option(
            "--free-text", help="Request no JSON schema, for a judge that reasons before it answers"
        ),
    ] = False


@group
class RewardModelOptions:
    """A scalar reward model."""

    title: ClassVar = "Reward model options"

    reward_model: Annotated[
        list[str] | None,
        typer.Option(
            "--reward-model", metavar="URL", help="Server of a scalar reward model; repeatable"
        ),
    ] = None
    reward_model_name: Annotated[
        str | None,
        typer.Option(
            "--reward-model-name", metavar="NAME", help="Its name, if several models are served"
        ),
    ] = None

    @property
    def names(self) -> list[str] | None:
        return [self.reward_model_name] if self.reward_model_name else None
