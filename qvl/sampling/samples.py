"""Several samples of one record from an endpoint, each with a seed of its own (qvl.client.seed)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from qvl.client.chat import responses
from qvl.client.client import Client
from qvl.client.seed import sample_seed
from qvl.errors import UserError
from qvl.record import check, prompt
from qvl.sampling.structured_output import ResponseFormat
from qvl.sampling.tokens import kept_tokens
from qvl.stage import Drop

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How each record is sampled."""

    num_samples: int = 1
    sampling: dict[str, Any] = field(default_factory=dict)
    """parameters by their names in OpenAI's API; None leaves one to the server"""
    seed: int = 0
    thinking: bool = False
    """the model begins with a thought, so that an answer without </think> was truncated inside it"""
    token_ids: bool = False
    """keep the token ids of prompt and answer"""
    logprobs: bool = False
    """keep the log-probability of each token of the answer"""
    top_logprobs: int | None = None
    """keep this many of the likeliest tokens at each position of the answer; needs logprobs"""
    response_format: ResponseFormat | None = None
    """of the answer; None asks for none"""

    def __post_init__(self) -> None:
        if self.num_samples > 1 and self.sampling.get("temperature") == 0:
            raise UserError(
                f"--num-samples {self.num_samples} at --temperature 0 are all the same answer"
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise UserError(f"--top-logprobs {self.top_logprobs} goes with --logprobs")


def problem(record: dict) -> Drop | None:
    """Why a record cannot be sampled, found before a token is spent; None where it can."""
    asked = prompt(record) or record.get("messages")  # an answer alone is no prompt
    unsound = check({**record, "messages": asked})
    if unsound:
        return Drop("unsound", unsound)
    last = asked[-1]["role"]  # type: ignore[index]  (it is sound)
    if last in ("user", "tool"):
        return None
    return Drop("no-question", f"it ends in the {last}'s turn: there is nothing to answer")


@dataclass(frozen=True)
class Samples:
    """Samples that an endpoint was asked for (qvl.pending.Pending)."""

    futures: list["Future[dict]"]
    samplings: list[dict[str, Any]]
    config: SamplingConfig

    def done(self) -> bool:
        return all(future.done() for future in self.futures)

    def result(self) -> list[dict]:
        """The samples as responses. Refused where the endpoint refuses the record."""
        found = []
        for future, sampling in zip(self.futures, self.samplings, strict=True):
            answer = future.result()
            several = responses(answer, sampling, thinking=self.config.thinking)
            for choice, response in zip(answer["choices"], several, strict=True):
                if self.config.response_format:
                    self.config.response_format.check(
                        response["content"], response["finish_reason"]
                    )
                kept = kept_tokens(
                    answer,
                    choice,
                    token_ids=self.config.token_ids,
                    logprobs=self.config.logprobs,
                    top_logprobs=self.config.top_logprobs,
                )
                found.append(response | kept)
        return found


def submit(record: dict, client: Client, config: SamplingConfig, first: int = 0) -> Samples:
    """Ask the endpoint to answer the record's prompt; `first`: the number of the first sample."""
    given = {name: value for name, value in config.sampling.items() if value is not None}
    samplings = [
        {**given, "seed": sample_seed(config.seed, record["id"], index)}
        if given.get("temperature") != 0
        else given
        for index in range(first, first + config.num_samples)
    ]
    tools = record.get("tools") or None
    kept = {
        "return_token_ids": config.token_ids or None,  # local, vLLM and SGLang take the same name
        "logprobs": config.logprobs or None,
        "top_logprobs": config.top_logprobs,
        **(config.response_format.fields() if config.response_format else {}),
    }
    messages = prompt(record)
    futures = [client.submit(messages, tools=tools, **kept, **each) for each in samplings]
    return Samples(futures, samplings, config)


def draw(record: dict, client: Client, config: SamplingConfig, first: int = 0) -> list[dict]:
    """The samples of `submit`, waited for."""
    return submit(record, client, config, first).result()


def stop_at(record: Any, drop: Drop) -> NoReturn:
    """Raise what would have dropped the record."""
    raise UserError(
        f"record {record.get('id')!r}: {drop.detail}; "
        "--on-error reject --rejects FILE puts such records aside"
    )
