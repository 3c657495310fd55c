"""What a record asks for: what rules and penalties must know of it to judge an answer."""

from functools import cached_property

from qvl.record import media_kind, question
from qvl.text import answers, words

READING_TASKS = ("ocr", "document", "translation")  # their answers quote any language


class AskedFor:
    """What a record asks of its answers. `lists`: a folder of word lists in place of ours."""

    def __init__(self, record: dict, lists: str | None = None) -> None:
        self.record, self.lists = record, lists
        self.asked = answers.asked(record)  # all that user and system said
        self.task: str = record.get("task") or ""
        self.shown = media_kind(record) != "text"

    @cached_property
    def form(self) -> str:
        """All that may ask for a form of the answer: what was asked, and the format prompt."""
        return f"{self.asked}\n{self.record.get('format_prompt') or ''}"

    @cached_property
    def may_quote(self) -> bool:
        """Whether the answer may hold what is written in an image."""
        return self.task in READING_TASKS or (self.shown and self._question_has("reading"))

    @cached_property
    def may_repeat(self) -> bool:
        """Whether repetition is asked for."""
        return self._question_has("repeat")

    @cached_property
    def may_mix(self) -> bool:
        """Whether another language is asked for, or about."""
        return bool(words.patterns("languages", self.lists).find(self.asked.lower()))

    @cached_property
    def may_shift(self) -> bool:
        """Whether another voice is asked for."""
        return bool(words.patterns("casual", self.lists).find(self.asked.lower()))

    def _question_has(self, name: str) -> bool:
        return bool(words.patterns(name, self.lists).find(question(self.record).lower()))
