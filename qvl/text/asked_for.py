"""What a record asks of its answers, for rules and penalties that judge them."""

from functools import cached_property

from qvl.record import media_kind, question
from qvl.text import answers, words

READING_TASKS = ("ocr", "document", "translation")  # their answers quote any language


class AskedFor:
    """What a record asks of its answers. `lists`: a folder of word lists that replace ours."""

    def __init__(self, record: dict, lists: str | None = None) -> None:
        self.record, self.lists = record, lists
        self.query = answers.query(record)  # of all user and system turns
        self.task: str = record.get("task") or ""
        self.has_media = media_kind(record) != "text"

    @cached_property
    def form(self) -> str:
        """The texts that may specify the form of the answer: the query and the format prompt."""
        return f"{self.query}\n{self.record.get('format_prompt') or ''}"

    @cached_property
    def may_quote(self) -> bool:
        """Whether the answer may quote text in an image, in any language."""
        return self.task in READING_TASKS or (self.has_media and self._question_has("reading"))

    @cached_property
    def may_repeat(self) -> bool:
        """Whether the query requests repetition."""
        return self._question_has("repeat")

    @cached_property
    def may_mix(self) -> bool:
        """Whether the query requests another language, or is about one."""
        return bool(words.patterns("languages", self.lists).find(words.lowered(self.query)))

    @cached_property
    def may_shift(self) -> bool:
        """Whether the query requests another style."""
        return bool(words.patterns("casual", self.lists).find(words.lowered(self.query)))

    def _question_has(self, name: str) -> bool:
        return bool(words.patterns(name, self.lists).find(words.lowered(question(self.record))))
