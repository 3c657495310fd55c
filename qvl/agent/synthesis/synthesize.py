"""Make records of two turns out of annotated images, and write those that hold when they are replayed."""

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from qvl.agent.calls import Call, read
from qvl.agent.images import ToolImages
from qvl.agent.reward import ZOOM, area, clipped, shared
from qvl.agent.synthesis.annotations import things
from qvl.agent.synthesis.questions import KINDS, MAX_AREA, Question, questions
from qvl.agent.tools.toolbox import Toolbox
from qvl.client.seed import sample_seed
from qvl.media.zoom import SCALE, region
from qvl.reward.verdict import judge

PER_IMAGE = 2  # our choice
SHOWN = 0.98  # of the evidence must lie in the crop
MIN_GAIN = 1.5  # by which the crop must show it larger: our choice


class Unverified(Exception):
    """A question whose replay does not hold; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Synthesize:
    """A record with objects -> records to learn from."""

    toolbox: Toolbox
    keep: ToolImages
    per_image: int = PER_IMAGE
    kinds: tuple[str, ...] = tuple(KINDS)
    max_area: float = MAX_AREA
    seed: int = 0
    schemas: bool = True
    """Write the tool's schema into the records."""
    thinking: bool = False
    """Write thoughts to reasoning_content; otherwise before the call and the answer."""

    def __call__(
        self, record: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[tuple[dict, str]]]:
        """(records, [(record that did not hold, why)]). ValueError for a record that has no objects."""
        reference, objects = things(record)
        rng = Random(sample_seed(self.seed, str(record.get("id")), 0))
        made: list[dict[str, Any]] = []
        failed: list[tuple[dict, str]] = []
        asked: set[str] = set()
        for each in questions(objects, rng, self.max_area):
            if len(made) >= self.per_image:
                break
            if each.kind not in self.kinds or each.text in asked:
                continue
            asked.add(each.text)
            one = self._record(record, reference, each, len(made))
            try:
                made.append(self._verified(one, reference, each))
            except Unverified as problem:
                failed.append((one, str(problem)))
        return made, failed

    def _record(
        self, record: dict[str, Any], reference: str, question: Question, number: int
    ) -> dict[str, Any]:
        image = {"type": "image", "image": reference}
        arguments = {"label": question.label, "bbox_2d": list(question.box), "img_idx": 0}
        call = {"type": "function", "function": {"name": ZOOM, "arguments": arguments}}
        return {
            "id": f"{record.get('id')}-{question.kind}-{number}",
            "messages": [
                {"role": "user", "content": [image, {"type": "text", "text": question.text}]},
                {**self._turn(question.thought, ""), "tool_calls": [call]},
                {"role": "tool", "content": []},
                self._turn(question.reading, question.answer),
            ],
            "answer": question.answer,
            "task": KINDS[question.kind],
            "source": f"synthesized/{question.kind}",
            "calls_needed": 1,
            "evidence": [{"bbox_2d": list(question.evidence), "img_idx": 0}],
            **({"tools": [self.toolbox.schemas[ZOOM]]} if self.schemas else {}),
        }

    def _turn(self, thought: str, answer: str) -> dict[str, Any]:
        if self.thinking:
            return {"role": "assistant", "content": answer, "reasoning_content": thought}
        return {"role": "assistant", "content": f"{thought}\n\n{answer}" if answer else thought}

    def _verified(
        self, record: dict[str, Any], reference: str, question: Question
    ) -> dict[str, Any]:
        """The record with the crop that its own call returns. Unverified where it does not hold."""
        if question.answer.casefold() in question.text.casefold().split():
            raise Unverified("the question gives the answer away")
        call = record["messages"][1]["tool_calls"][0]["function"]
        written = f"<tool_call>\n{orjson.dumps(call).decode()}\n</tool_call>"
        (parsed,) = read(written).calls  # as an agent's turn is read
        if not isinstance(parsed, Call):
            raise Unverified(parsed.reason)
        context = self.toolbox.context([reference])
        found = self.toolbox(parsed.name, parsed.arguments, context)
        (part,) = found.parts
        if found.failed or isinstance(part, str):
            raise Unverified(str(part))
        self._check_view(question, context.image(0).size, part.size)
        verdict = judge(record, {"content": record["messages"][-1]["content"]})
        if verdict.reward != 1.0:
            said = verdict.detail or f"it reads {verdict.extracted!r}"
            raise Unverified(f"the verifier does not take its answer: {said}")
        tool = {"role": "tool", "content": [{"type": "image", "image": self.keep.store(part)}]}
        first, act, _, last = record["messages"]
        return {**record, "messages": [first, act, tool, last]}

    def _check_view(self, question: Question, size: tuple[int, int], crop: tuple[int, int]) -> None:
        """Whether the crop shows the evidence whole, and larger than the image does."""
        left, top, right, bottom = region(question.box, *size)
        seen = [
            SCALE * edge / side
            for edge, side in zip((left, top, right, bottom), (*size, *size), strict=True)
        ]
        part = shared(seen, question.evidence) / (area(clipped(question.evidence)) or 1.0)
        if part < SHOWN:
            raise Unverified(f"the crop shows {part:.0%} of it")
        gain = crop[0] / (right - left) / self._scale(size)
        if gain < MIN_GAIN:
            raise Unverified(f"the crop shows it {gain:.1f} times as large")

    def _scale(self, size: tuple[int, int]) -> float:
        """How many pixels the model sees per pixel of the image."""
        rules = self.keep.rules
        if rules is None:
            return 1.0
        _, _, columns = rules.grid(*size)
        return columns * rules.patch_size / size[0]
