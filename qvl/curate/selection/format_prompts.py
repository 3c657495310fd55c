"""Format prompts: a sentence after the question with the form of answer that the task's verifier reads.

Qwen3-VL's reinforcement learning has no reward for the format; "task-specific format prompts" ask for
it instead (report 4.4.1). The report publishes none: the wording is ours, a file a task in
qvl/prompts/format. TASK.zh.txt is for questions in Chinese, for a question in two languages would excuse an
answer in two. A task without a file of its own takes that of one that the same verifier judges.

The rules for responses and the verifiers read a question without its prompt (qvl.record.without_format_prompt). Those
of other programs would not: no sentence names a language, asks to repeat, or, for charts, holds a number.
"""

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path

from qvl import prompts
from qvl.errors import UserError
from qvl.record import question, text
from qvl.reward import REWARDS, Unverifiable
from qvl.text.prose import prose
from qvl.text.scripts import LATIN_WORD, RUNS, WEIGHT

FIELD = "format_prompt"
FOLDER = prompts.FOLDER / "format"


class FormatPrompts:
    """Appends the format prompt of its task to a record's last user turn, once."""

    def __init__(self, folder: str | None = None) -> None:
        """`folder`: the user's prompts, which replace ours by task; an empty file is no prompt. UserError
        if it cannot be read."""
        self.folders = [Path(folder), FOLDER] if folder else [FOLDER]
        if folder and not Path(folder).is_dir():
            raise UserError(f"--format-prompts {folder}: folder not found")
        self._texts = [_texts(each) for each in self.folders]
        if not self._texts[0]:
            raise UserError(f"--format-prompts {folder}: no TASK.txt or TASK.zh.txt in it")

    def __call__(self, record: dict) -> dict:
        """The record with the prompt in its last user turn and in `format_prompt`; the same record
        where it has that field already, or where there is no prompt for it or no user turn."""
        if record.get(FIELD) is not None:
            return record
        prompt = self.of(record)
        turns = [n for n, turn in enumerate(record["messages"]) if turn.get("role") == "user"]
        if not prompt or not turns:
            return record
        messages = list(record["messages"])
        last = messages[turns[-1]]
        if not text(last).rstrip().casefold().endswith(prompt.casefold()):  # a set may come with it
            messages[turns[-1]] = _asked(last, prompt)
        return {**record, "messages": messages, FIELD: prompt}

    def of(self, record: dict) -> str:
        """The prompt for a record; "" where there is none."""
        chinese = is_chinese(question(record))
        for texts in self._texts:
            for name in _names(_asked_as(record)):
                plain, ours = texts.get(name), texts.get(f"{name}.zh")
                if plain is not None or ours is not None:
                    return (ours if chinese and ours is not None else plain) or ""
        return ""

    @cached_property
    def identity(self) -> str:
        """For a run's configuration: the hash of all that can be appended."""
        content = repr([sorted(texts.items()) for texts in self._texts])
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _texts(folder: Path) -> dict[str, str]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".txt")
        return {path.name[: -len(".txt")]: path.read_text("utf-8").strip() for path in files}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--format-prompts {folder}: {reason}") from None


def _asked_as(record: dict) -> str:
    """The task, but that grounding which its verifier reads points of is pointing, and puzzles go by
    their kind."""
    task = record.get("task") or ""
    where = REWARDS.get(task, "")
    if where == REWARDS["puzzle"]:
        answer = record.get("answer")
        if not isinstance(answer, dict):
            return "exact"
        return "gym" if "dataset" in answer else str(answer.get("kind"))
    if where == REWARDS["grounding"]:
        from qvl.reward.verifiers.grounding import wants_points

        try:
            return "pointing" if wants_points(record) else task
        except Unverifiable:
            return task
    return task


@lru_cache(256)
def _names(task: str) -> tuple[str, ...]:
    """The task itself, then every other name that its verifier has."""
    where = REWARDS.get(task)
    alike = (name for name in REWARDS if where is not None and REWARDS[name] == where)
    others = [name for name in alike if name != "pointing"]  # whose prompt asks for points
    return tuple(dict.fromkeys([task, *others]))


def is_chinese(question: str) -> bool:
    """Whether a question has more words in Han than in Latin, and no kana or hangul."""
    if question.isascii():
        return False
    body = prose(question)
    if RUNS["Kana"].search(body) or RUNS["Hangul"].search(body):
        return False
    han = sum(map(len, RUNS["Han"].findall(body))) / WEIGHT["Han"]
    return han > len(LATIN_WORD.findall(body))


def _asked(turn: dict, prompt: str) -> dict:
    """The turn with the prompt on a line of its own at its end."""
    content = turn.get("content")
    if isinstance(content, str):
        return {**turn, "content": f"{content}\n{prompt}" if content.strip() else prompt}
    parts = list(content or [])
    if parts and parts[-1].get("type") == "text":
        parts[-1] = {**parts[-1], "text": f"{parts[-1]['text']}\n{prompt}"}
    else:  # an image comes last
        parts.append({"type": "text", "text": prompt})
    return {**turn, "content": parts}
