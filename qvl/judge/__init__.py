"""Ask a model for a verdict in named fields: the judge of queries, responses and rewards.

    with Client([url], model, concurrency=64) as client:
        judge = Judge(client, Prompt.named("judge/response"))
        verdict = judge.ask(record["id"], material.of_record(record, Section("response", text)))
        verdict.values["correctness"] if not verdict.error else ...

A verdict is what the prompt's fields say (qvl.judge.prompt), read from the reply by qvl.judge.reply. A
reply that cannot be read is asked for again with another seed; after the last attempt, or where the
endpoint refuses the request, the verdict is an error, which is no value and never a 0.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from qvl.client import Client, Refused
from qvl.client.chat import responses
from qvl.client.seed import sample_seed
from qvl.judge import reply
from qvl.judge.material import Section
from qvl.judge.prompt import Prompt

RETRIES = 2  # further attempts where a reply cannot be read: our choice
RETRY_TEMPERATURE = 0.7  # at 0 another seed gives the same reply: our choice
MAX_TOKENS = 1024  # of a reply; a judge that thinks needs more: our choice


@dataclass(frozen=True)
class Judgment:
    """The fields' values, or why there are none: exactly one of the two is empty."""

    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How a judge is asked."""

    sampling: dict[str, Any] = field(
        default_factory=lambda: {"temperature": 0.0, "max_tokens": MAX_TOKENS}
    )
    """parameters by their names in OpenAI's API; None leaves one to the server"""
    seed: int = 0
    retries: int = RETRIES
    """further attempts where the reply cannot be read"""
    free_text: bool = False
    """ask for no JSON schema: a judge that thinks in its reply could not begin to"""


class Judge:
    """One model with one prompt. May be asked from several threads."""

    def __init__(self, client: Client, prompt: Prompt, config: JudgeConfig | None = None) -> None:
        self.client, self.prompt, self.config = client, prompt, config or JudgeConfig()
        # Whether the endpoint takes a JSON schema: None until the first answer tells.
        self._takes_schema = False if self.config.free_text else None
        self._first = asyncio.Lock()

    @property
    def name(self) -> str:
        """The model's."""
        return self.client.model

    def submit(
        self, identity: str, sections: Sequence[Section], sample: int = 0
    ) -> "Future[Judgment]":
        """The verdict to come on what the sections hold.

        identity, sample: what the seed follows from, so that a run that is resumed asks the same.
        EndpointError and UserError, raised by result(), end the work, as qvl.client says.
        """
        messages = self.prompt.messages(sections)
        return self.client.start(self._ask(self.name, messages, f"{identity}#{sample}"))

    def ask(self, identity: str, sections: Sequence[Section], sample: int = 0) -> Judgment:
        """The verdict, waited for. See `submit`."""
        return self.submit(identity, sections, sample).result()

    # What follows runs in the event loop's thread of the client.

    async def _ask(self, model: str, messages: list[dict], identity: str) -> Judgment:
        problem = ""
        for attempt in range(self.config.retries + 1):
            try:
                answer = await self._answer(model, messages, self._sampling(identity, attempt))
            except Refused as refused:
                return Judgment(error=str(refused))
            said = responses(answer, {})[0]
            try:
                return Judgment(reply.read(said["content"], self.prompt))
            except reply.Unreadable as unreadable:
                cut = ", cut at its length" if said["finish_reason"] == "length" else ""
                problem = f"{unreadable}{cut}"
        attempts = self.config.retries + 1
        return Judgment(error=f"no verdict in {attempts} replies; the last: {problem}")

    def _sampling(self, identity: str, attempt: int) -> dict[str, Any]:
        given = {name: value for name, value in self.config.sampling.items() if value is not None}
        if attempt and given.get("temperature", 1.0) < RETRY_TEMPERATURE:
            given["temperature"] = RETRY_TEMPERATURE
        return {**given, "seed": sample_seed(self.config.seed, identity, attempt)}

    async def _answer(self, model: str, messages: list[dict], sampling: dict[str, Any]) -> dict:
        """The endpoint's answer, asked with a schema unless it is one that refuses schemas."""
        if self._takes_schema is None:
            async with self._first:  # one request finds out for all
                if self._takes_schema is None:
                    return await self._try_schema(model, messages, sampling)
        if self._takes_schema:
            sampling = {**sampling, "response_format": self.prompt.response_format}
        return await self.client.answer(model, messages, sampling)

    async def _try_schema(self, model: str, messages: list[dict], sampling: dict[str, Any]) -> dict:
        asked = {**sampling, "response_format": self.prompt.response_format}
        try:
            answer = await self.client.answer(model, messages, asked)
        except Refused:
            # Refused again, it is the record's fault, and the next one finds out.
            answer = await self.client.answer(model, messages, sampling)
            self._takes_schema = False
        else:
            self._takes_schema = True
        return answer
