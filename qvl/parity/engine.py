"""A running engine's side: its own template, tokenizer, image processor and model.

Each record is sent twice. As a chat up to the last answer, the engine returns the ids of the prompt
and the next token, which may come from its caches. As tokens, with images and videos, it returns the
log-probabilities of all of them, computed anew.
"""

from pathlib import Path
from typing import Any, NamedTuple

from qvl.client import Refused
from qvl.client import chat as media
from qvl.engines.client import NO_VIDEOS, connect
from qvl.engines.tokens import PromptLogprobs, TokensPrompt
from qvl.media.errors import MediaError, of_record
from qvl.record import prompt, videos
from qvl.sampling.tokens import kept_tokens
from qvl.stage import Drop


class NextToken(NamedTuple):
    """The engine's completion of a chat."""

    prompt_ids: list[int]
    """(T,), with the pads of images and videos expanded."""
    token: int
    """The most likely next one."""
    logprob: float


class RunningEngine:
    """The engine at an endpoint, which should have the weights of `model`; a context manager."""

    def __init__(
        self, endpoint: str, model: Path, media_root: Path, *, allow_remote: bool = False
    ) -> None:
        self.engine = connect(endpoint, model)
        self.media_root, self.allow_remote = media_root, allow_remote

    def __enter__(self) -> "RunningEngine":
        self.engine.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.engine.__exit__(*error)

    def chat(self, record: dict[str, Any]) -> NextToken | Drop:
        """The completion of the record up to its last answer."""
        if videos(record) and not self.engine.takes_videos:
            return Drop("video", NO_VIDEOS.format(endpoint=self.engine.endpoint))
        try:
            completion = self.engine.client.complete(
                self._messages(record),
                tools=record.get("tools") or None,
                max_tokens=1,
                temperature=0,
                return_token_ids=True,
                logprobs=True,
            )
        except Refused as refused:
            return Drop("refused", str(refused))
        kept = kept_tokens(completion, completion["choices"][0], token_ids=True, logprobs=True)
        return NextToken(kept["prompt_token_ids"], kept["token_ids"][0], kept["logprobs"][0])

    def score(self, record: dict[str, Any], ids: list[int]) -> PromptLogprobs:
        """The log-probabilities of the record's tokens; `ids` has one pad per image and video."""
        pictures, clips = media.media_uris(
            record["messages"], self.media_root, allow_remote=self.allow_remote
        )
        return self.engine.prompt_logprobs(TokensPrompt(ids, pictures, clips)).result()

    def _messages(self, record: dict[str, Any]) -> list[dict]:
        turns = prompt(record)
        try:
            return media.to_openai(turns, self.media_root, allow_remote=self.allow_remote)
        except MediaError as error:
            raise of_record(record, error) from None
