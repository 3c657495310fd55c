"""What is sampled: responses of one turn, token ids in and token ids out.

The prompt is rendered and tokenised once; what is trained is the engine's own ids of the prompt and of the
response. A response keeps

    prompt_token_ids    images and videos expanded
    token_ids           sampled, the end token included
    logprobs            of these, by the engine
    weight_versions     [[version, begin, end], ...]: the weights that sampled tokens begin to end
"""

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl.client import chat
from qvl.client.seed import sample_seed
from qvl.engines.client import EngineClient
from qvl.engines.tokens import Completion, SamplingParams, TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.pack.packed import Sample
from qvl.pack.render import Renderer
from qvl.record import prompt
from qvl.rollout.queries import Query
from qvl.rollout.settings import SamplingSettings
from qvl.stage import Drop
from qvl.text import thinking


@dataclass
class Group:
    """The pending responses to one query (qvl.pending.Pending)."""

    futures: Sequence["Future[Completion]"]
    renderer: Renderer
    expected: str
    """Version of the weights that should answer."""
    samplings: Sequence[dict[str, Any]]
    media: dict[str, Any]
    """`images` and `grids` of the prompt, as in a packed line."""

    def done(self) -> bool:
        return all(future.done() for future in self.futures)

    def result(self) -> list[dict[str, Any]]:
        """The responses. EndpointError if other weights gave them."""
        pairs = zip(self.futures, self.samplings, strict=True)
        return [self._response(future.result(), sampling) for future, sampling in pairs]

    def _response(self, completion: Completion, sampling: dict[str, Any]) -> dict[str, Any]:
        check_versions(completion.weight_versions, self.expected)
        text = self.renderer.tokenizer.decode(completion.token_ids)
        cut = self.renderer.opens_thought and completion.finish_reason == "length"
        reasoning, content = thinking.split(text, truncated=cut)
        return {
            "content": content,
            **({"reasoning_content": reasoning} if reasoning else {}),
            "finish_reason": completion.finish_reason,
            "num_tokens": len(completion.token_ids),
            "sampling": sampling,
            "prompt_token_ids": completion.prompt_ids,
            "token_ids": completion.token_ids,
            "logprobs": completion.logprobs,
            "weight_versions": [list(each) for each in completion.weight_versions],
        }


def check_versions(versions: Sequence[Sequence[Any]], expected: str) -> None:
    """EndpointError if other weights than the expected ones sampled a token."""
    for version, _, _ in versions:
        if version != expected:
            raise EndpointError(
                f"the engine answered with the weights {version!r}, expected {expected!r}: "
                "was it restarted? --resume gives it the weights of the last step"
            )


class SingleTurn:
    """Asks an engine for the groups of queries."""

    def __init__(self, settings: SamplingSettings, engine: EngineClient) -> None:
        self.settings, self.engine = settings, engine
        self.root = Path(settings.media_root)
        self.renderer = Renderer(
            Path(settings.model), media_root=self.root, allow_remote=settings.allow_remote
        )

    def __enter__(self) -> "SingleTurn":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def submit(self, query: Query) -> Group | Drop:
        """Request the query's group; a Drop for a record that has no prompt."""
        identity = f"{query.place}:{query.record.get('id')}"
        return self._submit(query.record, self._sampled(identity, self.settings.num_samples))

    def submit_held_out(self, record: dict[str, Any]) -> Group | Drop:
        """Request the greedy response to a held-out record first, and then the sampled ones."""
        greedy = SamplingParams(max_tokens=self.settings.max_tokens, temperature=0.0)
        identity = f"held out:{record.get('id')}"
        sampled = self._sampled(identity, self.settings.eval_samples)
        return self._submit(record, [greedy, *sampled])

    def _sampled(self, identity: str, count: int) -> list[SamplingParams]:
        """The seeds depend on the run's seed, the identity, and the number of the sample."""
        return [
            SamplingParams(
                max_tokens=self.settings.max_tokens,
                seed=sample_seed(self.settings.seed, identity, index),
            )
            for index in range(count)
        ]

    def _submit(self, record: dict[str, Any], params: Sequence[SamplingParams]) -> Group | Drop:
        rendered = self.renderer.prompt(record)
        if isinstance(rendered, Drop):
            return rendered
        try:
            asked = self._asked(record, rendered)
            futures = [self.engine.generate(asked, each) for each in params]
        except UserError as error:
            return Drop("prompt", str(error))
        return Group(
            futures,
            self.renderer,
            self.engine.weight_version,
            [{"temperature": x.temperature, "max_tokens": x.max_tokens} for x in params],
            {"images": rendered.images, "grids": rendered.grids},
        )

    def _asked(self, record: dict[str, Any], rendered: Sample) -> TokensPrompt:
        images, videos = chat.media_uris(
            prompt(record), self.root, allow_remote=self.settings.allow_remote
        )
        return TokensPrompt(rendered.ids, images, videos, session=secrets.token_hex(8))
