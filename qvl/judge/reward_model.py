"""A scalar reward model: one number for a conversation and an answer (qvl.client.scoring)."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.record import prompt


@dataclass(frozen=True)
class Score:
    """A number to come."""

    future: "Future[float]"

    def done(self) -> bool:
        return self.future.done()

    def result(self) -> float | None:
        """None where the endpoint refuses this conversation, which may be too long for it."""
        try:
            return self.future.result()
        except Refused:
            return None


class RewardModel:
    """Asked with the conversation, its images, and the answer without its thinking."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def name(self) -> str:
        return self.client.model

    def submit(self, record: dict, contents: Sequence[str]) -> list[Score]:
        """The scores of several answers to a record."""
        asked = prompt(record)
        turns = ({"role": "assistant", "content": content} for content in contents)
        return [Score(self.client.score([*asked, turn])) for turn in turns]
