"""A scalar reward model: one number for a conversation and its answer (qvl.client.scoring)."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from qvl.client import Client, Refused
from qvl.record import prompt


@dataclass(frozen=True)
class PendingScore:
    """The score of one answer, once the endpoint returns it."""

    future: "Future[float]"

    def done(self) -> bool:
        return self.future.done()

    def result(self) -> float | None:
        """The raw score; None where the endpoint refuses the conversation, which may be too long."""
        try:
            return self.future.result()
        except Refused:
            return None


class RewardModel:
    """Scores a conversation with its images and an answer without its thinking."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.client.model

    def submit(self, record: dict, contents: Sequence[str]) -> list[PendingScore]:
        """One pending score for each of several answers to a record."""
        messages = prompt(record)
        answers = ({"role": "assistant", "content": content} for content in contents)
        return [PendingScore(self.client.score([*messages, answer])) for answer in answers]
