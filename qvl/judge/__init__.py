"""A model as judge of queries, responses and rewards, which gives its verdict in named fields.

    with Client([url], model, concurrency=64) as client:
        judge = Judge(client, Prompt.named("judge/response"))
        verdict = judge.ask(record["id"], material.of_record(record, Section("response", text)))
        verdict.values["correctness"] if not verdict.error else ...

The prompt names the fields (qvl.judge.prompt), and qvl.judge.reply parses them from the reply. A reply
that is truncated or cannot be parsed is requested again with another seed. After the last attempt, or if the endpoint
refuses the request, the judgment holds an error in place of values; it is never a score of 0.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from qvl.client import Client, Refused
from qvl.client.seed import sample_seed
from qvl.judge import material, reply
from qvl.judge.material import Section
from qvl.judge.prompt import Prompt

RETRIES = 2  # for replies that cannot be parsed: our choice
RETRY_TEMPERATURE = 0.7  # at least; at 0 another seed gives the same reply: our choice
MAX_TOKENS = 1024  # per reply; a judge that thinks needs more: our choice


@dataclass(frozen=True)
class Judgment:
    """The values of the prompt's fields, or an error; exactly one of the two is empty."""

    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Settings of a judge's requests."""

    sampling: dict[str, Any] = field(
        default_factory=lambda: {"temperature": 0.0, "max_tokens": MAX_TOKENS}
    )
    """Parameters by their names in OpenAI's API; None leaves one to the server."""
    seed: int = 0
    retries: int = RETRIES
    """Further attempts if a reply cannot be parsed."""
    free_text: bool = False
    """Send no JSON schema: it would prevent a judge from thinking in its reply."""


class Judge:
    """One model with one prompt. Safe to call from several threads."""

    def __init__(self, client: Client, prompt: Prompt, config: JudgeConfig | None = None) -> None:
        self.client, self.prompt, self.config = client, prompt, config or JudgeConfig()
        # Whether the endpoint accepts a JSON schema; None until the first answer.
        self._accepts_schema = False if self.config.free_text else None
        self._first = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.client.model

    def submit(
        self, identity: str, sections: Sequence[Section], sample: int = 0
    ) -> "Future[Judgment]":
        """The pending judgment of the sections.

        identity, sample: determine the seed, so that a resumed run sends the same requests.
        result() raises EndpointError and UserError as those of qvl.client do; they concern all requests.
        """
        messages = self.prompt.messages(sections)
        asked = self._ask(self.name, messages, f"{identity}#{sample}", material.text_of(sections))
        return self.client.start(asked)

    def ask(self, identity: str, sections: Sequence[Section], sample: int = 0) -> Judgment:
        """The judgment of the sections; blocks. See `submit`."""
        return self.submit(identity, sections, sample).result()

    # What follows runs in the event loop's thread of the client.

    async def _ask(self, model: str, messages: list[dict], identity: str, judged: str) -> Judgment:
        problem = ""
        for attempt in range(self.config.retries + 1):
            try:
                answer, has_schema = await self._answer(
                    model, messages, self._sampling(identity, attempt)
                )
            except Refused as refused:
                return Judgment(error=str(refused))
            try:
                choice = answer["choices"][0]
                return Judgment(reply.verdict(choice, self.prompt, judged, has_schema=has_schema))
            except reply.Unreadable as unreadable:
                problem = str(unreadable)
        attempts = self.config.retries + 1
        return Judgment(error=f"no verdict in {attempts} replies; the last: {problem}")

    def _sampling(self, identity: str, attempt: int) -> dict[str, Any]:
        """The parameters of an attempt, with a seed of its own."""
        given = {name: value for name, value in self.config.sampling.items() if value is not None}
        if attempt and given.get("temperature", 1.0) < RETRY_TEMPERATURE:
            given["temperature"] = RETRY_TEMPERATURE
        return {**given, "seed": sample_seed(self.config.seed, identity, attempt)}

    async def _answer(
        self, model: str, messages: list[dict], sampling: dict[str, Any]
    ) -> tuple[dict, bool]:
        """The endpoint's answer, and whether a JSON schema was sent: unless the endpoint refuses schemas."""
        if self._accepts_schema is None:
            async with self._first:  # one request finds out for all
                if self._accepts_schema is None:
                    return await self._try_schema(model, messages, sampling)
        has_schema = self._accepts_schema
        if has_schema:
            sampling = {**sampling, "response_format": self.prompt.response_format}
        return await self.client.answer(model, messages, sampling), has_schema

    async def _try_schema(
        self, model: str, messages: list[dict], sampling: dict[str, Any]
    ) -> tuple[dict, bool]:
        with_schema = {**sampling, "response_format": self.prompt.response_format}
        try:
            answer = await self.client.answer(model, messages, with_schema)
        except Refused:
            # If this is refused too, the record is the cause, and the next request finds out.
            answer = await self.client.answer(model, messages, sampling)
            self._accepts_schema = False
        else:
            self._accepts_schema = True
        return answer, self._accepts_schema
