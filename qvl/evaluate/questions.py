"""From a row of a benchmark's copy to a record: the question as it is asked, and its reference.

A copy names its columns in its own way. Each role has the names that copies use, and a benchmark may name
further ones, which are tried first.
"""

import re
import string
from collections.abc import Callable
from typing import Any

from qvl.evaluate import copies
from qvl.evaluate.benchmark import Benchmark
from qvl.formats.context import CannotConvert, Context, with_id

ROLES = {
    "id": ["id", "index", "question_id", "questionId", "pid", "sample_index", "key", "idx", "qid"],
    "question": ["question", "query", "problem", "prompt", "text"],
    "options": ["options", "choices"],
    "answer": ["answer", "answers", "label", "gt_answer", "final_answer", "number"],
    "image": ["image", "images", "decoded_image", "image_path"],
    "video": ["video", "videoID", "video_path"],
    "box": ["bbox", "answer"],
    "start": ["start", "start_time"],
    "end": ["end", "end_time"],
}
LETTERS = string.ascii_uppercase
_NUMBERED = [f"image_{n}" for n in range(1, 21)]
_PLACEHOLDER = re.compile(r"<image ?(\d{0,2})>")
_LETTER = re.compile(r"\(?([A-Z])\)?\.?")
_MARKED = re.compile(r"\(?[A-Z]\)?[.):]\s+")


class Questions:
    """Makes records of rows. `context` writes embedded images to files and names the row in errors."""

    def __init__(self, benchmark: Benchmark, context: Context) -> None:
        self.benchmark, self.context = benchmark, context
        self._make = KINDS[benchmark.kind]

    def record(self, row: dict) -> dict:
        """The row as a record. CannotConvert if it lacks what the benchmark's kind needs."""
        self.context.start(row)
        given = self.cell(row, "id", needed=False)
        facts = self._make(self, row)
        options = facts.pop("options", "")
        prompt = self.benchmark.prompt if options else self.benchmark.open_prompt
        asked = (prompt or self.benchmark.prompt).replace("{options}", options)
        asked = asked.replace("{question}", facts.pop("question"))
        identity = None if given is None else f"{self.benchmark.name}-{given}"
        record = {
            "id": identity,
            "messages": [{"role": "user", "content": self._content(row, asked.strip())}],
            "task": self.benchmark.verifier,
            "source": self.benchmark.name,
            "benchmark": self.benchmark.name,
            **{
                name: row[name]
                for name in self.benchmark.keep
                if not copies.is_empty(row.get(name))
            },
        }
        return with_id(record | facts, self.context)

    def cell(self, row: dict, role: str, *, needed: bool = True) -> Any:
        """The first cell of a role that holds something."""
        names = [*self.benchmark.columns.get(role, ()), *ROLES[role]]
        for name in names:
            if not copies.is_empty(row.get(name)):
                return copies.value(row[name])
        if needed:
            raise self.error(f"no {role}; looked for {', '.join(names)} in {', '.join(row)}"[:300])
        return None

    def text(self, row: dict) -> str:
        """The question of a row; "" for a benchmark whose question is in its image."""
        if "{question}" not in self.benchmark.prompt:
            return ""
        found = self.cell(row, "question")
        if not isinstance(found, str):
            raise self.error(f"question: expected a text, got {found!r}"[:200])
        return found

    def error(self, problem: str) -> CannotConvert:
        return self.context.error(problem)

    def options(self, row: dict) -> list[str]:
        """The options of a row, from one column or from the columns A, B, ..., without their letters."""
        found = self.cell(row, "options", needed=False)
        if found is None:
            found = [row[letter] for letter in LETTERS if not copies.is_empty(row.get(letter))]
        elif isinstance(found, dict):
            found = [found[key] for key in sorted(found)]
        if not isinstance(found, list):
            raise self.error(f"options: expected a list, got {found!r}"[:200])
        texts = [str(each) for each in found]
        marked = all(
            _MARKED.match(each) and each.lstrip("(")[0] == letter
            for each, letter in zip(texts, LETTERS, strict=False)
        )
        return [_MARKED.sub("", each, count=1) if marked else each for each in texts]

    def media(self, row: dict) -> list[dict]:
        """The images of a row, else its video, as parts of a message."""
        video = None
        numbered = [row[name] for name in _NUMBERED if not copies.is_empty(row.get(name))]
        found: Any = numbered or self.cell(row, "image", needed=False)
        if found is None:
            video = self.cell(row, "video", needed=False)
            if isinstance(video, str) and "." not in video.rpartition("/")[2]:
                video += ".mp4"  # a bare name, as in Charades-STA and Video-MME
        if video is not None:
            return [{"type": "video", "video": self.context.reference(video)}]
        each = found if isinstance(found, list) else [found] if found is not None else []
        return [
            {"type": "image", "image": self.context.reference(copies.image(one))} for one in each
        ]

    def _content(self, row: dict, asked: str) -> Any:
        """The parts of a question: its media in place of <image N>, or before the text."""
        media = self.media(row)
        if not media:
            return asked
        parts: list[dict] = []
        used, at = set(), 0
        for found in _PLACEHOLDER.finditer(asked):
            number = int(found[1] or len(used) + 1) - 1
            if number >= len(media):
                continue
            parts += [{"type": "text", "text": asked[at : found.start()]}, media[number]]
            at = found.end()
            used.add(number)
        parts.append({"type": "text", "text": asked[at:]})
        unused = [one for number, one in enumerate(media) if number not in used]
        return unused + [part for part in parts if part.get("text") != ""]


def choice(asked: Questions, row: dict) -> dict:
    """A question with options; its reference is a letter, an index, or the text of an option."""
    options = asked.options(row)
    question = asked.text(row)
    gold = asked.cell(row, "answer")
    letter = _letter(gold, options)
    if letter is None:
        raise asked.error(f"answer: {gold!r} is none of the {len(options)} options"[:200])
    lines = "\n".join(f"{mark}. {text}" for mark, text in zip(LETTERS, options, strict=False))
    return {
        "question": question,
        "options": lines,
        "answer": letter,
        "task": asked.benchmark.verifier or "choice",
    }


def _letter(gold: Any, options: list[str]) -> str | None:
    if isinstance(gold, int) and not isinstance(gold, bool):
        return LETTERS[gold] if 0 <= gold < len(options) else None
    if not isinstance(gold, str):
        return None
    if gold in options:
        return LETTERS[options.index(gold)]
    found = _LETTER.fullmatch(gold.strip())
    # Some copies have the options in the question alone.
    return found[1] if found and (not options or found[1] in LETTERS[: len(options)]) else None


def choice_or_text(asked: Questions, row: dict) -> dict:
    """A choice where the row has options, else a free answer."""
    if asked.options(row):
        return {**choice(asked, row), "task": "choice"}
    return text(asked, row)


def text(asked: Questions, row: dict) -> dict:
    """A free answer: the reference is a text or a number, or a list of those that are right."""
    gold = asked.cell(row, "answer")
    if isinstance(gold, list) and len(gold) == 1:
        gold = gold[0]
    return {"question": asked.text(row), "answer": gold, "task": asked.benchmark.verifier}


def boxes(asked: Questions, row: dict) -> dict:
    """A phrase and its box, in thousandths of the image's sides."""
    phrases = asked.cell(row, "question")
    phrase = phrases[0] if isinstance(phrases, list) and phrases else phrases
    box = asked.cell(row, "box")
    return {
        "question": str(phrase),
        "answer": [{"bbox_2d": _thousandths(asked, row, box), "label": str(phrase)}],
        "task": asked.benchmark.verifier or "grounding",
    }


def _thousandths(asked: Questions, row: dict, box: Any) -> list[float]:
    if not isinstance(box, list) or len(box) != 4:
        raise asked.error(f"box: expected four numbers, got {box!r}"[:200])
    try:
        x1, y1, x2, y2 = map(float, box)
    except (TypeError, ValueError):
        raise asked.error(f"box: expected four numbers, got {box!r}"[:200]) from None
    if asked.benchmark.box == "thousandths":
        return [x1, y1, x2, y2]
    if asked.benchmark.box == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    width, height = _size(asked, row)
    scaled = (1000 * x1 / width, 1000 * y1 / height, 1000 * x2 / width, 1000 * y2 / height)
    return [round(each, 2) for each in scaled]


def _size(asked: Questions, row: dict) -> tuple[int, int]:
    """The width and height of a row's image, from the row or from the image."""
    from qvl.media import images, references

    for width, height in (("width", "height"), ("image_width", "image_height")):
        if row.get(width) and row.get(height):
            return int(row[width]), int(row[height])
    image = copies.image(asked.cell(row, "image"))
    content = image.get("bytes") if isinstance(image, dict) else None
    if content is None:
        content = references.read(asked.context.reference(image), asked.context.media_root)
    return images.peek(content, "its image")


def detection(asked: Questions, row: dict) -> dict:
    """All instances of all categories of one image, as ODinW asks for them."""
    width, height = row["width"], row["height"]
    gold = []
    for each in row["objects"]:
        x, y, w, h = each["bbox"]
        corners = (x / width, y / height, (x + w) / width, (y + h) / height)
        gold.append({"bbox_2d": [round(1000 * one, 2) for one in corners], "label": each["label"]})
    return {
        "question": ", ".join(row["categories"]),
        "answer": gold,
        "categories": row["categories"],
        "size": [width, height],
        "task": asked.benchmark.verifier,
    }


def spans(asked: Questions, row: dict) -> dict:
    """A sentence, and when it happens in a video."""
    try:
        span = [float(asked.cell(row, name)) for name in ("start", "end")]
    except CannotConvert:
        answer = asked.cell(row, "answer")
        span = answer if isinstance(answer, list) else copies.value(str(answer))
    return {
        "question": asked.text(row),
        "answer": span,
        "task": asked.benchmark.verifier or "video",
    }


def constraints(asked: Questions, row: dict) -> dict:
    """IFEval's prompt with its constraints; null arguments are absent ones."""
    names, given = copies.value(row.get("instruction_id_list")), copies.value(row.get("kwargs"))
    if not isinstance(names, list) or not isinstance(given, list):
        raise asked.error("no instruction_id_list and kwargs")
    kwargs = [{k: v for k, v in (each or {}).items() if v is not None} for each in given]
    return {
        "question": asked.text(row),
        "answer": {"instruction_id_list": names, "kwargs": kwargs},
        "task": asked.benchmark.verifier or "instruction",
    }


def programs(asked: Questions, row: dict) -> dict:
    """A programming problem with tests, as LiveCodeBench keeps them."""
    from qvl.evaluate import program_tests

    try:
        answer = program_tests.answer(row)
    except ValueError as error:
        raise asked.error(str(error)) from None
    starter = row.get("starter_code") or ""
    question = asked.text(row)
    if starter:
        question += f"\n\nComplete this code:\n\n```python\n{starter}\n```"
    return {"question": question, "answer": answer, "task": asked.benchmark.verifier or "code"}


KINDS: dict[str, Callable[[Questions, dict], dict]] = {
    "choice": choice,
    "choice-or-text": choice_or_text,
    "text": text,
    "boxes": boxes,
    "detection": detection,
    "spans": spans,
    "constraints": constraints,
    "programs": programs,
}
