"""Several answers to one record, each with a seed of its own.

Whoever asks for the same record, sample and seed again sends the same request: in a run that is
resumed, reordered or cut into shards.
"""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import qvl.record
from qvl.client.budget import check_spent
from qvl.client.chat import responses
from qvl.client.client import Client
from qvl.client.endpoint import Refused
from qvl.errors import UserError
from qvl.sampling.structured_output import Form
from qvl.stage import Drop

if TYPE_CHECKING:
    from concurrent.futures import Future

SEEDED_BITS = 31  # engines take seeds as signed integers of 32 bits or more


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How each record is asked."""

    num_samples: int = 1
    sampling: dict[str, Any] = field(default_factory=dict)
    """parameters by their names in OpenAI's API; None leaves one to the server"""
    seed: int = 0
    thinking: bool = False
    """the model begins with a thought, so that an answer without </think> was cut inside it"""
    max_total_tokens: int | None = None
    """begin no further record once so many were read and written"""
    token_ids: bool = False
    """keep the tokens of prompt and answer by number"""
    logprobs: bool = False
    """keep the log-probability of each token of the answer"""
    top_logprobs: int | None = None
    """keep so many of the likeliest tokens at each place of the answer, with logprobs"""
    form: Form | None = None
    """of the answer"""

    def __post_init__(self) -> None:
        if self.num_samples > 1 and self.sampling.get("temperature") == 0:
            raise UserError(
                f"--num-samples {self.num_samples} at --temperature 0 are all the same answer"
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise UserError(f"--top-logprobs {self.top_logprobs} goes with --logprobs")


def problem(record: dict) -> Drop | None:
    """Why a record cannot be asked, found before a token is spent."""
    unsound = qvl.record.check(record)
    if unsound:
        return Drop("unsound", unsound)
    last = record["messages"][-1]["role"]
    if last in ("user", "tool"):
        return None
    return Drop("no-question", f"it ends in the {last}'s turn: there is nothing to answer")


@dataclass(frozen=True)
class Draw:
    """Answers that are asked for."""

    futures: list["Future[dict]"]
    samplings: list[dict[str, Any]]
    asking: SamplingConfig

    def done(self) -> bool:
        return all(future.done() for future in self.futures)

    def result(self) -> list[dict]:
        """The answers as responses. Refused where the endpoint will not answer this record."""
        found = []
        for future, sampling in zip(self.futures, self.samplings, strict=True):
            answer = future.result()
            several = responses(answer, sampling, thinking=self.asking.thinking)
            for choice, response in zip(answer["choices"], several, strict=True):
                if self.asking.form:
                    self.asking.form.check(response["content"], response["finish_reason"])
                found.append(response | kept_tokens(answer, choice, self.asking))
        return found


def kept_tokens(answer: dict, choice: dict, asking: SamplingConfig) -> dict[str, list]:
    """The token ids and log-probabilities of a choice that were asked for.

    vLLM and the local engine give the prompt's ids beside the choices and the answer's as
    token_ids; SGLang gives both inside the choice. UserError where the endpoint gives none.
    """
    kept: dict[str, list] = {}
    if asking.token_ids:
        prompt = answer.get("prompt_token_ids") or choice.get("prompt_token_ids")
        said = choice.get("token_ids")
        said = choice.get("response_token_ids") if said is None else said
        if not isinstance(prompt, list) or not isinstance(said, list):
            raise UserError("--token-ids: the endpoint gives none; qvl serve, vLLM and SGLang do")
        kept |= {"prompt_token_ids": prompt, "token_ids": said}
    if asking.logprobs:
        content = (choice.get("logprobs") or {}).get("content")
        if not isinstance(content, list):
            raise UserError("--logprobs: the endpoint gives none")
        kept["logprobs"] = [each["logprob"] for each in content]
        if asking.top_logprobs is not None:
            kept["top_logprobs"] = [_likeliest(each) for each in content]
        if asking.token_ids and len(kept["logprobs"]) != len(kept["token_ids"]):
            raise UserError(
                f"the endpoint gives {len(kept['token_ids'])} token ids "
                f"and {len(kept['logprobs'])} log-probabilities of one answer"
            )
    return kept


def _likeliest(place: dict) -> list[list]:
    """[[token, log-probability], ...] at one place, as the endpoint orders them."""
    if not isinstance(place.get("top_logprobs"), list):
        raise UserError("--top-logprobs: the endpoint gives none")
    return [[each["token"], each["logprob"]] for each in place["top_logprobs"]]


def submit(record: dict, client: Client, asking: SamplingConfig, first: int = 0) -> Draw:
    """Ask the endpoint for answers to the record's messages; `first`: the number of the first."""
    given = {name: value for name, value in asking.sampling.items() if value is not None}
    samplings = [
        {**given, "seed": sample_seed(asking.seed, record["id"], index)}
        if given.get("temperature") != 0
        else given
        for index in range(first, first + asking.num_samples)
    ]
    tools = record.get("tools") or None
    kept = {
        "return_token_ids": asking.token_ids or None,  # local, vLLM and SGLang take the same name
        "logprobs": asking.logprobs or None,
        "top_logprobs": asking.top_logprobs,
        **(asking.form.fields() if asking.form else {}),
    }
    messages = record["messages"]
    futures = [client.submit(messages, tools=tools, **kept, **each) for each in samplings]
    return Draw(futures, samplings, asking)


def draw(record: dict, client: Client, asking: SamplingConfig, first: int = 0) -> list[dict]:
    """`submit`, waited for."""
    return submit(record, client, asking, first).result()


def generate(record: dict, client: Client, asking: SamplingConfig, *, stop: bool) -> dict | Drop:
    """The record with new responses after those it has; the turn to learn, at its end, is not sent.

    Where it cannot be asked, a Drop, or with `stop` an error; CheckFailed where the tokens are spent.
    """
    check_spent(client.tokens, asking.max_total_tokens)
    asked = {**record, "messages": prompt(record)}
    drop = problem(asked)
    if drop is None:
        had = record.get("responses") or []
        try:
            return {**record, "responses": had + draw(asked, client, asking, len(had))}
        except Refused as refused:
            drop = Drop("refused", str(refused))
    if stop:
        stopped(record, drop)
    return drop


def prompt(record: dict) -> Any:
    """The messages without the turn to learn; as they are where there is nothing before it."""
    messages: Any = record.get("messages")
    if not isinstance(messages, list) or len(messages) < 2:
        return messages
    last = messages[-1]
    learnt = isinstance(last, dict) and last.get("role") == "assistant"
    return messages[:-1] if learnt else messages


def stopped(record: dict, drop: Drop) -> NoReturn:
    """Raise what would have dropped the record."""
    raise UserError(
        f"record {record.get('id')!r}: {drop.detail}; "
        "--on-error reject --rejects FILE puts such records aside"
    )


def sample_seed(seed: int, identity: str, index: int) -> int:
    """The seed of one sample."""
    digest = hashlib.blake2b(f"{seed}:{index}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEEDED_BITS)
