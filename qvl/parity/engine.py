"""A running engine's side: its own template, tokenizer and image cutting, and its model.

Of each record two things are asked: as a chat, up to the last answer, which ids the engine makes of it
and which token it says next; and as tokens, with images and videos, what it thinks of all of them. The first
may come out of the engine's caches, the second is computed anew.
"""

from pathlib import Path
from typing import Any, NamedTuple

from qvl.client import chat as media
from qvl.client.endpoint import Refused
from qvl.engines.protocol import NO_VIDEOS, Prompt, Score, connect
from qvl.record import videos
from qvl.sampling.samples import SamplingConfig, kept_tokens
from qvl.stage import Drop


class Said(NamedTuple):
    """How an engine answers a chat."""

    prompt_ids: list[int]
    """(T,), images and videos expanded"""
    token: int
    """the likeliest next one"""
    logprob: float


class Served:
    """The engine at an address, which should have the weights of `model`; to be entered."""

    def __init__(
        self, endpoint: str, model: Path, media_root: Path, *, allow_remote: bool = False
    ) -> None:
        self.engine = connect(endpoint, model)
        self.media_root, self.allow_remote = media_root, allow_remote

    def __enter__(self) -> "Served":
        self.engine.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.engine.__exit__(*error)

    def chat(self, record: dict[str, Any]) -> Said | Drop:
        """What the engine makes of the record up to its last answer, and how it goes on."""
        if videos(record) and not self.engine.takes_videos:
            return Drop("video", NO_VIDEOS.format(endpoint=self.engine.endpoint))
        asking = SamplingConfig(token_ids=True, logprobs=True)
        try:
            said = self.engine.client.complete(
                self._messages(record),
                tools=record.get("tools") or None,
                max_tokens=1,
                temperature=0,
                return_token_ids=True,
                logprobs=True,
            )
        except Refused as refused:
            return Drop("refused", str(refused))
        kept = kept_tokens(said, said["choices"][0], asking)
        return Said(kept["prompt_token_ids"], kept["token_ids"][0], kept["logprobs"][0])

    def score(self, record: dict[str, Any], prompt: list[int]) -> Score:
        """What the engine thinks of the record's tokens, given with one pad an image and a video."""
        pictures, clips = self._sent(record, "image_url"), self._sent(record, "video_url")
        return self.engine.score(Prompt(prompt, pictures, clips)).result()

    def _messages(self, record: dict[str, Any]) -> list[dict]:
        turns = asked(record)
        return media.to_openai(turns, self.media_root, allow_remote=self.allow_remote)

    def _sent(self, record: dict[str, Any], kind: str) -> list[str]:
        sent = media.to_openai(record["messages"], self.media_root, allow_remote=self.allow_remote)
        return [
            part[kind]["url"]
            for turn in sent
            if isinstance(turn.get("content"), list)
            for part in turn["content"]
            if part.get("type") == kind
        ]


def asked(record: dict[str, Any]) -> list[dict]:
    """The turns up to the last answer."""
    turns = record["messages"]
    return turns[:-1] if turns[-1]["role"] == "assistant" else turns
