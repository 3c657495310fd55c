"""Of sampled responses, the one to learn becomes the record's last assistant turn (rejection sampling).

The report says of multi-candidate queries that wrong results go first, then bad answers (4.2.2), and
not how one of the rest is chosen: by an expression of the response's own fields, our choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qvl.errors import UserError
from qvl.record import with_scores
from qvl.stage import Drop
from qvl.text import answers

STAGE = "choose"
FORMATS = ("as-is", "standard", "thinking")


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Called on a record it returns it with the chosen turn at its end, or a Drop."""

    by: Callable[[dict], Any] | None = None
    """Of a response: the number of which the highest is chosen; None: the first response is."""
    where: Callable[[dict], Any] | None = None
    """Of a response: whether it may be chosen."""
    least: bool = False
    """The lowest is chosen instead."""
    format: str = "as-is"
    keep_responses: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"--format {self.format}: say {', '.join(FORMATS)}")

    def __call__(self, record: dict) -> dict | Drop:
        responses = record.get("responses") or []
        messages = record.get("messages") or []
        ends = bool(messages) and messages[-1].get("role") == "assistant"
        if not responses:
            if not ends:
                return Drop("no-response", "neither a response nor an assistant turn at its end")
            turns, chosen = [messages[-1]], None
            before = messages[:-1]
        else:
            found = self._chosen(responses)
            if isinstance(found, Drop):
                return found
            place, value = found
            chosen = {"response": place, "of": len(responses)}
            chosen |= {} if value is None else {"by": value}
            before = messages[:-1] if ends else messages
            turns = _turns(responses[place], before)
        return self._written(record, before, turns, chosen)

    def _chosen(self, responses: list[dict]) -> tuple[int, float | None] | Drop:
        """The place of the response to learn, and its number; of equals it is the first."""
        may = [
            place
            for place, one in enumerate(responses)
            if _says(one) and (self.where is None or self.where(one))
        ]
        if not may:
            return Drop("none-eligible", f"no eligible response among {len(responses)}")
        if self.by is None:
            return may[0], None
        values = {place: self.by(responses[place]) for place in may}
        numbers = {place: each for place, each in values.items() if _is_number(each)}
        if not numbers:
            return Drop("no-number", f"no number for any of {len(may)} responses")
        sign = -1 if self.least else 1
        place = max(numbers, key=lambda each: sign * numbers[each])
        return place, numbers[place]

    def _written(
        self, record: dict, before: list[dict], turns: list[dict], chosen: dict | None
    ) -> dict | Drop:
        *rest, last = turns
        answer = answers.of_message(last)
        if self.format == "thinking" and not answer.reasoning.strip():
            return Drop("no-thinking", "the answer has no thinking to train on")
        turn = {**last, "role": "assistant"}
        if answer.reasoning and not last.get("reasoning_content"):  # between its tags
            turn |= {"content": answer.content, "reasoning_content": answer.reasoning}
        if self.format == "standard":
            turn.pop("reasoning_content", None)
        done = {**record, "messages": [*before, *rest, turn]}
        if chosen is not None:
            done = with_scores(done, STAGE, chosen)
        if not self.keep_responses:
            done.pop("responses", None)
        return done


def _turns(response: dict, before: list[dict]) -> list[dict]:
    """The turns of a response: one, or the trajectory of an agent after the question."""
    trajectory = response.get("messages")
    if trajectory:
        has_prompt = trajectory[: len(before)] == before
        return trajectory[len(before) :] if has_prompt else trajectory
    names = ("content", "reasoning_content", "tool_calls")
    return [{"role": "assistant", **{name: response[name] for name in names if response.get(name)}}]


def _says(response: dict) -> bool:
    """Whether it ends with something to train on: an answer or a call."""
    answer = answers.of_response(response)
    trajectory = response.get("messages")
    if trajectory and trajectory[-1].get("role") != "assistant":
        return False
    return bool(answer.content.strip() or answer.calls)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
