"""An episode as it grows: token ids in pieces, each sampled or read, and the messages that they say.

Nothing is rendered or tokenised again: a turn is the ids that the engine sampled, and what a tool returned
is tokenised once, as the chat template writes it between two turns.

A response keeps, beside `content`, the answer, what training and reading it need:

    messages          the turns after the prompt: the model's, and those of tools with their images
    calls             [{turn, name, arguments, failed}]: a call that could not be read has no name
    num_calls         their number
    prompt_token_ids  images and videos expanded
    token_ids         all that follows, sampled or read
    sampled           [[begin, end], ...]: which of token_ids the model sampled
    logprobs          of the sampled tokens, by the engine
    weight_versions   [[version, begin, end], ...], of the sampled tokens
    images, grids     those of tools, in the order of their tokens
    finish_reason     stop: it answered. length: cut at a limit of tokens. turns: it called in its last turn.
                      refused: the engine refused a prompt that had grown
"""

import math
from collections.abc import Sequence
from typing import Any

from qvl.agent.calls import Call, Turn, Unreadable
from qvl.agent.images import Shown
from qvl.agent.tools.observation import Observation
from qvl.engines.tokens import Completion
from qvl.media.references import brief
from qvl.pack.render import END, Renderer
from qvl.text import thinking

MARK = "\x00"  # stands for the turn before an observation


class Dialogue:
    """What a chat template writes between two turns of an agent, as token ids."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.tokenizer = renderer.tokenizer
        self.end_of_turn: int = renderer.tokenizer.token_to_id(END)
        self._of_images: dict[tuple[int, ...], list[int]] = {}
        # Written by a tool these would be read as a turn, an image or a call.
        contents = {each.content for each in self.tokenizer.get_added_tokens_decoder().values()}
        tags = {"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"}
        self._marks = sorted(
            contents | tags | {thinking.OPEN, thinking.CLOSE}, key=len, reverse=True
        )

    def message(self, observation: Observation, shown: Sequence[Shown]) -> dict[str, Any]:
        """The message of a tool. shown: its images, in their order."""
        images = iter(shown)
        parts = [
            {"type": "text", "text": self.harmless(each)}
            if isinstance(each, str)
            else {"type": "image", "image": next(images).reference}
            for each in observation.parts
        ]
        only_text = len(parts) == 1 and parts[0]["type"] == "text"
        return {"role": "tool", "content": parts[0]["text"] if only_text else parts}

    def harmless(self, text: str) -> str:
        """A text without what the tokenizer or the template reads as a mark: "<|im_end|>" gets a space."""
        for mark in self._marks:
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text.replace(MARK, " ")

    def following(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        """The ids from the end of a turn to the beginning of the next, one pad per image."""
        if any(_has_text(each) for each in messages):
            return self._rendered(messages)
        counts = tuple(len(each["content"]) for each in messages)
        if counts not in self._of_images:  # most observations are images, and alike
            self._of_images[counts] = self._rendered(messages)
        return self._of_images[counts]

    def _rendered(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        context = [{"role": "user", "content": MARK}, {"role": "assistant", "content": MARK}]
        text = self.renderer.template([*context, *messages], prompt=True)
        end = f"{MARK}{END}"
        return self.tokenizer.encode(
            text[text.rindex(end) + len(end) :], add_special_tokens=False
        ).ids


class Trajectory:
    """One episode. `ids` is the next prompt, as engines take it: one pad per image."""

    def __init__(
        self, prompt_ids: Sequence[int], uris: Sequence[str], length: int, dialogue: Dialogue
    ) -> None:
        """length: of the prompt, expanded."""
        self.ids, self.uris, self._prompt_length = list(prompt_ids), list(uris), length
        self._dialogue = dialogue
        self._image_pad = dialogue.renderer.image_pad
        self._token_count = dialogue.renderer.rules.num_tokens
        self.prompt: list[int] = []
        """Expanded, as the engine reports it of the first turn."""
        self.tokens: list[int] = []
        """After it, expanded."""
        self.sampled: list[list[int]] = []
        self.logprobs: list[float] = []
        self.versions: list[list[Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.shown: list[Shown] = []
        self.turns = 0

    @property
    def length(self) -> int:
        """Of prompt and turns, expanded."""
        return self._prompt_length + len(self.tokens)

    def add_turn(self, completion: Completion, turn: Turn) -> None:
        """Add what the engine sampled. AssertionError if it read another prompt than was built here."""
        if not self.turns:
            self.prompt = completion.prompt_ids
        assert completion.prompt_ids == [*self.prompt, *self.tokens], "another history"
        begin, drawn = len(self.tokens), len(self.logprobs)
        self.turns += 1
        self.ids += completion.token_ids
        self.tokens += completion.token_ids
        if completion.token_ids:
            self.sampled.append([begin, len(self.tokens)])
        self.logprobs += completion.logprobs
        for version, start, end in completion.weight_versions:
            if self.versions and self.versions[-1][0] == version:
                self.versions[-1][2] = drawn + end
            else:
                self.versions.append([version, drawn + start, drawn + end])
        self.messages.append(_message(turn))

    def add_observations(
        self, messages: Sequence[dict[str, Any]], ids: Sequence[int], shown: Sequence[Shown]
    ) -> None:
        """Add what tools returned; ids: of `Dialogue.following`."""
        self.messages += messages
        self.ids += ids
        self.tokens += self.expanded(ids, shown)
        self.uris += [each.uri for each in shown]
        self.shown += shown

    def expanded(self, ids: Sequence[int], shown: Sequence[Shown]) -> list[int]:
        """Ids with the tokens of each image in place of its pad."""
        images = iter(shown)
        found: list[int] = []
        for token in ids:
            count = self._token_count(next(images).grid) if token == self._image_pad else 1
            found += [token] * count
        return found

    def response(
        self, finish_reason: str, sampling: dict[str, Any], detail: str = ""
    ) -> dict[str, Any]:
        """The episode as a response of its record; an answer only where the model gave one."""
        last = self.messages[-1] if self.messages else {}
        answered = finish_reason == "stop" and last.get("role") == "assistant"
        reasoning = last.get("reasoning_content") if answered else None
        return {
            "content": (last.get("content") or "") if answered else "",
            **({"reasoning_content": reasoning} if reasoning else {}),
            "messages": self.messages,
            "calls": self.calls,
            "num_calls": len(self.calls),
            "num_turns": self.turns,
            "finish_reason": finish_reason,
            **({"detail": detail} if detail else {}),
            "num_tokens": len(self.logprobs),
            "sampling": sampling,
            "prompt_token_ids": self.prompt,
            "token_ids": self.tokens,
            "sampled": self.sampled,
            "logprobs": self.logprobs,
            "weight_versions": self.versions,
            "images": [each.reference for each in self.shown],
            "grids": [list(each.grid) for each in self.shown],
        }


def _has_text(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, str) or any(part["type"] == "text" for part in content)


def noted(call: Call | Unreadable, turn: int, *, failed: bool) -> dict[str, Any]:
    """A call in the list of a response."""
    if isinstance(call, Unreadable):
        return {"turn": turn, "failed": True, "unreadable": brief(call.reason)}
    arguments = _finite(call.arguments)
    return {"turn": turn, "name": call.name, "arguments": arguments, "failed": failed}


def _message(turn: Turn) -> dict[str, Any]:
    """A turn as a message; with a call that cannot be read, all its words are text."""
    calls = [each for each in turn.calls if isinstance(each, Call)] if turn.is_readable else []
    found: dict[str, Any] = {"role": "assistant", "content": turn.content if calls else turn.text}
    if turn.reasoning:
        found["reasoning_content"] = turn.reasoning
    if calls:
        functions = [{"name": x.name, "arguments": _finite(x.arguments)} for x in calls]
        found["tool_calls"] = [{"type": "function", "function": each} for each in functions]
    return found


def _finite(value: Any) -> Any:
    """A value as JSON holds it: what is not finite, or has more than 64 bits, as text."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if type(value) is int and abs(value) >= 1 << 63:
        return hex(value)[:80]
    return value
