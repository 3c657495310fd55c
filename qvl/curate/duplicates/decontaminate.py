"""Which records contain questions of an evaluation set, by n-grams of their text or by their images.

Texts are compared by n-grams of words after NFKC and case folding, without punctuation; in scripts without
spaces a character counts as a word. A record is dropped if it shares an n-gram with an evaluation
record, or if it contains all of an evaluation text that is shorter than an n-gram. N-grams in
more than --common evaluation records belong to a template and are ignored. Memory: about 100 bytes per
n-gram of the evaluation sets, none per record.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from qvl import record as records
from qvl.curate.duplicates.dedup import digest
from qvl.errors import UserError
from qvl.media.errors import MediaError, of_record
from qvl.stage import Drop

TOKEN = re.compile(
    r"[\u3041-\u30fa\u3400-\u4dbf\u4e00-\u9fff\u0e01-\u0e4e]"
    r"|[^\W_\u3041-\u30fa\u3400-\u4dbf\u4e00-\u9fff\u0e01-\u0e4e]+"
)
BETWEEN = re.compile(r"(?<=[\u3041-\u9fff\u0e01-\u0e4e]) (?=[\u3041-\u9fff\u0e01-\u0e4e])")
SHORTEST = 5  # words: shorter evaluation texts are common phrases


class Match(NamedTuple):
    """An evaluation record."""

    source: str  # the file
    id: str


class Grams:
    """The n-grams of the evaluation texts, of `size` words."""

    def __init__(self, size: int, common: int) -> None:
        """`common`: an n-gram in more evaluation records than this belongs to a template."""
        if size < 2:
            raise UserError(f"--ngram {size}: expected 2 or more")
        self.size, self.common = size, common
        self._where: dict[int, int] = {}  # hash of an n-gram -> the number of its first record
        self._count: dict[int, int] = {}  # -> the number of its records, if more than one
        self._sizes: set[int] = set()  # lengths of the texts that are shorter than an n-gram
        self._records: list[Match] = []

    def add(self, texts: Iterable[str], where: Match, *, has_media: bool = False) -> None:
        """Add an evaluation record. `has_media`: its question is not its text alone, so short
        texts are ignored."""
        number = len(self._records)
        self._records.append(where)
        runs = set()
        for text in texts:
            tokens = TOKEN.findall(normalised(text))
            if len(tokens) < self.size:
                if len(tokens) >= SHORTEST and not has_media:
                    self._sizes.add(len(tokens))
                    runs.add(hash((len(tokens), *tokens)))
                continue
            runs.update(map(hash, _runs(tokens, self.size)))
        for run in runs:
            if run in self._where:
                self._count[run] = self._count.get(run, 1) + 1
            else:
                self._where[run] = number

    def close(self) -> int:
        """Remove the n-grams of templates; return their number."""
        template = [run for run, count in self._count.items() if count > self.common]
        for run in template:
            del self._where[run]
        self._count.clear()
        return len(template)

    def __len__(self) -> int:
        return len(self._where)

    def find(self, text: str) -> tuple[Match, str] | None:
        """The first n-gram that `text` shares with an evaluation record, and that record."""
        tokens = TOKEN.findall(normalised(text))
        for run in _runs(tokens, self.size):
            number = self._where.get(hash(run))
            if number is not None:
                return self._records[number], _joined(run)
        if len(tokens) in self._sizes:
            number = self._where.get(hash((len(tokens), *tokens)))
            if number is not None:
                return self._records[number], _joined(tokens)
        return None


class Contamination:
    """The stage function of `qvl decontaminate`."""

    def __init__(
        self,
        grams: Grams,
        text: Callable[[dict], Iterable[str]],
        images: "Images | None" = None,
        *,
        drop_unreadable: bool = False,
    ) -> None:
        self.grams, self.text, self.images = grams, text, images
        self.drop_unreadable = drop_unreadable

    def __call__(self, record: dict) -> Drop | None:
        for text in self.text(record):
            found = self.grams.find(text)
            if found:
                (source, name), run = found
                return Drop("ngram", f"{source} {name!r}: {run[:200]}")
        if self.images is None:
            return None
        try:
            return self.images(record)
        except MediaError as error:
            if not self.drop_unreadable:
                raise of_record(record, error) from None
            return Drop("unreadable-media", str(error))


class Images:
    """Images of evaluation records, by their bytes and perceptual hashes (qvl.curate.duplicates.image_hash)."""

    def __init__(self, bits: int, root: Path, *, allow_remote: bool = False) -> None:
        """`root`: the folder to which media paths of the checked records are relative."""
        from qvl.curate.duplicates.image_hash import Gallery

        self.gallery = Gallery(bits)
        self.root, self.allow_remote = root, allow_remote
        self._bytes: dict[bytes, Match] = {}
        self._sources: list[tuple[Match, str]] = []

    def add(self, record: dict, root: Path, where: Match) -> None:
        for reference in records.images(record):
            content = self._read(reference, root)
            if self._bytes.setdefault(digest(content), where) is where:
                self.gallery.add(self._look(content, reference), len(self._sources))
                self._sources.append((where, reference))

    def __call__(self, record: dict) -> Drop | None:
        for reference in records.images(record):
            content = self._read(reference, self.root)
            equal = self._bytes.get(digest(content))
            if equal:
                return Drop("image", f"{equal.source} {equal.id!r}: equals {_brief(reference)}")
            number = self.gallery.find(self._look(content, reference))
            if number is not None:
                where, other = self._sources[number]
                detail = f"{_brief(reference)} looks like {_brief(other)}"
                return Drop("image", f"{where.source} {where.id!r}: {detail}")
        return None

    def _read(self, reference: str, root: Path) -> bytes:
        from qvl.media import references

        return references.read(reference, root, allow_remote=self.allow_remote)

    def _look(self, content: bytes, reference: str):  # type: ignore[no-untyped-def]
        from qvl.curate.duplicates.image_hash import look
        from qvl.media import images

        return look(images.decode(content, reference))


def normalised(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def user_texts(record: dict) -> Iterator[str]:
    """The texts of the user turns, which in an evaluation record are the question."""
    for turn in records.turns(record):
        if turn.get("role") == "user":
            yield records.text(turn)


def all_texts(record: dict) -> Iterator[str]:
    """All texts of a record: of its turns, their reasoning, and its responses."""
    for turn in records.turns(record):
        yield records.text(turn)
        yield turn.get("reasoning_content") or ""
    for response in record.get("responses") or []:
        if isinstance(response, dict):
            yield str(response.get("content") or "")
            yield str(response.get("reasoning_content") or "")
            yield from all_texts(response)


def _runs(tokens: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(size)), strict=False)


def _joined(tokens: Iterable[str]) -> str:
    return BETWEEN.sub("", " ".join(tokens))


def _brief(reference: str) -> str:
    return reference if len(reference) <= 60 else reference[:57] + "..."
