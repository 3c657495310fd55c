"""Render a record as token ids and the spans of target tokens.

The targets of a turn are what the model would have to generate: from the end of the generation prompt
to <|im_end|>, inclusive. Prompts and answers are tokenised separately, as in sampling, so no token
spans the boundary. What a record marks with `loss` false is tokenised with the rest of its turn, and is
no target.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from qvl.errors import UserError
from qvl.media import images, loader, pads, patches, video, video_patches
from qvl.media.errors import BrokenMedia, MediaError, of_record
from qvl.media.references import brief
from qvl.pack.packed import Sample
from qvl.pack.template import Template, load_template, load_tokenizer
from qvl.record import prompt as prompt_of
from qvl.record import text as text_of
from qvl.stage import Drop
from qvl.text import thinking

TURN = "<|im_start|>assistant\n"
END = "<|im_end|>"
IMAGE = "<|image_pad|>"
MARKS = re.compile(r"<\|(im_start|im_end|image_pad|video_pad|vision_start|vision_end|endoftext)\|>")

WEIGHTS = {  # name -> the loss weight per token of an answer of n tokens
    "token": lambda n: 1.0,
    "sqrt": lambda n: 1 / math.sqrt(n),
    "turn": lambda n: 1 / n,
}


class Piece(NamedTuple):
    """A piece of a rendered conversation."""

    text: str
    is_target: bool = False
    given: tuple[tuple[int, int], ...] = ()
    """Spans of the text, in characters, that are no targets."""


class Renderer:
    """Renders records with a checkpoint's template, tokenizer and image rules."""

    def __init__(
        self,
        model: Path,
        *,
        media_root: Path,
        weight: str = "token",
        last_only: bool | None = None,
        think_tags: bool = False,
        allow_remote: bool = False,
    ) -> None:
        """`weight`: a name of WEIGHTS. `last_only`: only the final turn is a target, or every turn; None:
        every turn, but with a template that opens thoughts those that follow the last question.
        `think_tags`: put reasoning_content into the text; otherwise a record is dropped whose thought the
        template does not render."""
        if weight not in WEIGHTS:
            raise UserError(f"--loss-weight {weight}: expected {', '.join(WEIGHTS)}")
        self.template: Template = load_template(model)
        self.tokenizer = load_tokenizer(model)
        self.rules = patches.load_rules(model)
        self.model = model
        image_pad, video_pad, end = map(self.tokenizer.token_to_id, (IMAGE, video_patches.PAD, END))
        if image_pad is None or end is None:
            raise UserError(f"{model}: its tokenizer has no {IMAGE} or {END}; is it a Qwen3-VL?")
        self.image_pad: int = image_pad
        self.video_pad: int = -1 if video_pad is None else video_pad  # no token has the id -1
        self.pads = {self.image_pad, self.video_pad}
        self.media_root, self.allow_remote = media_root, allow_remote
        self.weigh, self.last_only = WEIGHTS[weight], last_only
        self.think_tags = think_tags

    def __call__(self, record: dict[str, Any]) -> Sample | Drop:
        """The sample of a record, or the reason why there is none. MediaError for missing media."""
        texts = self._answered(record)
        return texts if isinstance(texts, Drop) else self._with_media(record, texts)

    def refusal(self, record: dict[str, Any]) -> Drop | None:
        """Why a record has no sample, as far as its text says it: its media are not read."""
        texts = self._answered(record)
        return texts if isinstance(texts, Drop) else None

    def all_targets(self, record: dict[str, Any]) -> Sample | Drop:
        """The sample of a conversation with all tokens but the first as targets, of any role.

        If the last turn is not the assistant's, its generation prompt follows.
        """
        messages = record.get("messages") or []
        if not messages:
            return Drop("no-message")
        open_turn = messages[-1].get("role") != "assistant"

        sample = self._rendered(record, open_turn)
        if isinstance(sample, Drop):
            return sample
        return replace(sample, spans=[(1, len(sample.ids), 1.0)])

    @functools.cached_property
    def opens_thought(self) -> bool:
        """Whether the generation prompt opens a thought, as in a thinking template."""
        return self._prompt([], None).rstrip().endswith(thinking.OPEN)

    def prompt(self, record: dict[str, Any]) -> Sample | Drop:
        """The record up to the turn to generate, as engines take it: one pad per image or video.

        A final assistant turn, the one to learn, is left out.
        """
        asked = {**record, "messages": prompt_of(record)}
        return self._rendered(asked, True, expand=False)

    def _rendered(
        self, record: dict[str, Any], open_turn: bool, *, expand: bool = True
    ) -> Sample | Drop:
        """The sample of a record's messages in one piece; open_turn: and of the generation prompt."""
        messages, tools = record["messages"], record.get("tools")
        texts = _checked(
            messages, lambda: [Piece(self.template(messages, tools, prompt=open_turn))]
        )
        if isinstance(texts, Drop):
            return texts
        return self._with_media(record, texts, expand=expand)

    def _answered(self, record: dict[str, Any]) -> list[Piece] | Drop:
        """The text of a record that ends in an answer, in pieces."""
        messages = record.get("messages") or []
        if not messages or messages[-1].get("role") != "assistant":
            return Drop("no-answer", "the last message is not an assistant turn")
        return _checked(messages, lambda: self._pieces(messages, record.get("tools")))

    def _with_media(
        self, record: dict[str, Any], texts: list[Piece], *, expand: bool = True
    ) -> Sample | Drop:
        try:
            references, grids, media = self._media(record["messages"])
        except (BrokenMedia, ValueError) as error:
            return Drop("media", str(error))
        except MediaError as error:
            raise of_record(record, error) from None
        try:
            expanded = media if expand else []
            return self._sample(str(record.get("id", "")), texts, references, grids, expanded)
        except pads.PadMismatch as error:
            return Drop("template", f"it renders {error}")

    def _pieces(self, messages: list[dict], tools: Any) -> list[Piece]:
        """The rendered conversation in pieces."""
        shown = [thinking.in_text(each) for each in messages] if self.think_tags else messages
        text = self.template(shown, tools)
        prompt = self._prompt(shown, tools)
        pieces: list[Piece] = []
        end = 0
        starts = [match.start() for match in re.finditer(re.escape(TURN), text)]
        turns = [message for message in messages if message["role"] == "assistant"]
        if len(starts) != len(turns):
            raise ValueError(f"{len(turns)} assistant turns are rendered as {len(starts)}")
        first = len(starts) - self._learned(messages)
        for start, turn in zip(starts[first:], turns[first:], strict=True):
            # A thinking template drops the reasoning of earlier turns, and with it <think>.
            begin = start + len(prompt if text.startswith(prompt, start) else TURN)
            pieces.append(Piece(text[end:begin]))
            end = text.index(END, begin) + len(END)
            answer = text[begin:end]
            if _lacks_thought(turn, answer) and (turn is turns[-1] or not self._renders_thoughts):
                hint = "" if self.think_tags else "; --think-tags puts it into the text"
                raise ValueError(f"the chat template does not render reasoning_content{hint}")
            pieces.append(Piece(answer, turn.get("loss") is not False, _given(turn, answer)))
        pieces.append(Piece(text[end:]))
        return pieces

    @functools.cached_property
    def _renders_thoughts(self) -> bool:
        """Whether the template renders the thought of a last turn; it may drop those before."""
        turn = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
        shown = thinking.in_text(turn) if self.think_tags else turn
        text = self.template([{"role": "user", "content": "2 + 2"}, shown])
        return not _lacks_thought(turn, text[text.rindex(TURN) :].rstrip())

    def _learned(self, messages: list[dict]) -> int:
        """How many turns are targets, from the last one back.

        A thinking template drops the reasoning of the turns before the last question. To learn these would
        be to learn to answer without a thought, which no prompt of this template asks for.
        """
        if self.last_only:
            return 1
        asked = [-1]
        if self.last_only is None and self.opens_thought:
            asked += [index for index, message in enumerate(messages) if _asks(message)]
        return sum(message["role"] == "assistant" for message in messages[asked[-1] + 1 :])

    def _prompt(self, messages: list[dict], tools: Any) -> str:
        """The generation prompt: TURN, and <think> in a thinking template."""
        context = messages[:-1] or [{"role": "user", "content": ""}]
        text = self.template(context, tools, prompt=True)
        return text[text.rindex(TURN) :]

    def _media(
        self, messages: list[dict]
    ) -> tuple[list[str], list[patches.Grid], list[pads.PadItems]]:
        """The references and grids of images and of pairs of video frames, in the order of the text,
        and what replaces the pads of both."""
        references: list[str] = []
        grids: list[patches.Grid] = []
        sizes: list[int] = []  # of images, in tokens
        marks: list[str] = []  # of videos
        for part in _parts(messages):
            if part.get("type") == "image":
                references.append(part["image"])
                grids.append(self._grid(part["image"]))
                sizes.append(self.rules.num_tokens(grids[-1]))
            elif part.get("type") == "video":
                clip = video.read(
                    part["video"],
                    self.media_root,
                    allow_remote=self.allow_remote,
                    fit=video.unseen,
                )
                try:
                    grid = self._videos.grid(len(clip.frames), *clip.size)
                except ValueError as error:
                    raise ValueError(f"video {brief(str(part['video']))}: {error}") from None
                pairs, rows, columns = grid
                marks.append(self._videos.marks(clip, grid))
                references += [loader.pair(part["video"], index) for index in range(pairs)]
                grids += [(1, rows, columns)] * pairs
        image_items = pads.PadItems("image", self.image_pad, sizes, lambda n: [self.image_pad] * n)
        video_items = pads.PadItems("video", self.video_pad, marks, self._tokens)
        return references, grids, [image_items, video_items]

    def _tokens(self, text: str) -> list[int]:
        # Not encode_batch: its threads cost more than a short text.
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    @functools.cached_property
    def _videos(self) -> video_patches.VideoRules:
        return video_patches.load_rules(self.model)

    def _grid(self, reference: str) -> patches.Grid:
        # Decoded whole: a training run reads the pixels hours later, and a broken file would end it.
        image = images.load(reference, self.media_root, allow_remote=self.allow_remote)
        try:
            return self.rules.grid(*image.size)
        except ValueError as error:
            raise ValueError(f"image {brief(reference)}: {error}") from None

    def _sample(
        self,
        name: str,
        pieces: list[Piece],
        references: list[str],
        grids: list[patches.Grid],
        media: list[pads.PadItems],
    ) -> Sample:
        ids: list[int] = []
        spans = []
        runs = [self._runs(piece) for piece in pieces]
        expanded = iter(pads.expand([tokens for piece in runs for tokens, _ in piece], *media))
        for piece in runs:
            weight = self.weigh(sum(len(tokens) for tokens, is_target in piece if is_target) or 1)
            for _, is_target in piece:
                start = len(ids)
                ids += next(expanded)
                if is_target and len(ids) > start:
                    spans.append((start, len(ids), weight))
        return Sample(name, ids, spans, references, grids)

    def _runs(self, piece: Piece) -> list[tuple[list[int], bool]]:
        """The tokens of a piece in runs of targets and of others."""
        if not piece.given or not piece.is_target:
            return [(self._tokens(piece.text), piece.is_target)]
        encoded = self.tokenizer.encode(piece.text, add_special_tokens=False)
        tokens = zip(encoded.ids, encoded.offsets, strict=True)
        # A token may begin with the space before a part, so its end says which part it is of.
        marked = [(token, not _within(end, piece.given)) for token, (_, end) in tokens]
        return [
            ([token for token, _ in run], is_target)
            for is_target, run in itertools.groupby(marked, key=lambda each: each[1])
        ]


def _checked(messages: list[dict], pieces: Callable[[], list[Piece]]) -> list[Piece] | Drop:
    found = _marks(messages)
    if found:
        return Drop("special-token", f"the text has {found}")
    try:
        return pieces()
    except ValueError as error:
        return Drop("template", str(error))


def _lacks_thought(turn: dict, rendered: str) -> bool:
    """Whether a rendered answer, which ends in END, does not have the turn's thought before its text."""
    thought = (turn.get("reasoning_content") or "").strip()
    place = rendered.removesuffix(END).rfind(text_of(turn).strip())
    return thought not in (rendered if place < 0 else rendered[:place])


def _given(turn: dict, rendered: str) -> tuple[tuple[int, int], ...]:
    """The spans of a rendered answer, in characters, of its parts that have `loss` false."""
    content = turn.get("content")
    if not isinstance(content, list) or all(part.get("loss") is not False for part in content):
        return ()
    end = rendered.rfind(text_of(turn))
    if end < 0:
        raise ValueError("an answer with a part whose loss is false is rendered with changes")
    found = []
    for part in content:
        start, end = end, end + len(part.get("text", ""))
        if part.get("loss") is False:
            found.append((start, end))
    return tuple(found)


def _within(place: int, spans: tuple[tuple[int, int], ...]) -> bool:
    return any(start < place <= end for start, end in spans)


def _asks(message: dict) -> bool:
    """Whether a message is a question, and not a tool's response in the role of the user."""
    text = text_of(message).strip()
    response = text.startswith("<tool_response>") and text.endswith("</tool_response>")
    return message["role"] == "user" and not response


def _parts(messages: list[dict]) -> Iterator[dict]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from message["content"]


def _marks(messages: list[dict]) -> str | None:
    """A special token in a text, which would forge a turn or an image; None if there is none."""
    for message in messages:
        texts = [text_of(message), message.get("reasoning_content") or ""]
        texts.append(str(message.get("tool_calls") or ""))
        for text in texts:
            match = MARKS.search(text)
            if match:
                return match.group()
    return None
