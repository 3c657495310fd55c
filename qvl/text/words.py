"""The word lists of the rules: words/NAME.txt, one file per subject, in all its languages.

Each line is an entry; `# ` begins a comment. A file of patterns may begin with `? WORD ...`: the patterns are
tried only on texts that contain one of these words (`_` stands for a space), by a substring search.
"""

import functools
import re
from pathlib import Path

from qvl.errors import UserError

FOLDER = Path(__file__).parent / "words"


def checked(folder: str | None) -> str | None:
    """The user's `folder` of lists that replace ours of the same name; UserError for an unknown name."""
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise UserError(f"--words {folder}: no such folder")
    known = sorted(path.name for path in FOLDER.glob("*.txt"))
    for path in sorted(Path(folder).iterdir()):
        if path.suffix == ".txt" and path.name not in known:
            raise UserError(f"--words {path}: no rule reads it; the lists are {', '.join(known)}")
    for name in known:
        if (Path(folder) / name).exists():
            _compiled(name.removesuffix(".txt"), folder)
    return folder


def _compiled(name: str, folder: str) -> None:
    try:
        if name in PATTERNS:
            patterns(name, folder)
        else:
            lines(name, folder)
    except (OSError, UnicodeDecodeError, re.error) as error:
        raise UserError(f"--words {folder}/{name}.txt: {error}") from None


# Lists of regular expressions; the others hold words.
PATTERNS = (
    "about_images", "asks_json", "back", "blind", "casual", "errors", "guess", "harmful", "harmless", "image",
    "languages", "messages", "no_image", "particles", "reading", "refusal", "repeat", "spill",
)  # fmt: skip


@functools.cache
def lines(name: str, folder: str | None = None) -> tuple[str, ...]:
    """The entries of a list, in order: the user's if `folder` has the list, else ours."""
    own = Path(folder, f"{name}.txt") if folder else None
    path = own if own and own.exists() else FOLDER / f"{name}.txt"
    stripped = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in stripped if line and not line.startswith("# "))


class Patterns:
    """The patterns of a list as one expression, tried only on texts that contain a key."""

    def __init__(self, name: str, folder: str | None = None) -> None:
        entries = lines(name, folder)
        keys = [word for line in entries if line[:2] == "? " for word in line[2:].split()]
        self.keys = tuple(key.replace("_", " ") for key in keys)
        self._keys_of: dict[frozenset[str], tuple[str, ...]] = {}
        body = "|".join(f"(?:{line})" for line in entries if line[:2] != "? ")
        self.compiled = re.compile(body, re.MULTILINE)

    def _may_hold(self, lowered: str) -> bool:
        if not self.keys:
            return True
        present = alphabets(lowered)
        if present not in self._keys_of:
            self._keys_of[present] = tuple(key for key in self.keys if alphabets(key) <= present)
        return any(map(lowered.__contains__, self._keys_of[present]))

    def find(self, lowered: str) -> str:
        """The first match in a lower-case text, or ""."""
        if not self._may_hold(lowered):
            return ""
        found = self.compiled.search(lowered)
        return found.group() if found else ""

    def at_start(self, lowered: str) -> str:
        """The match at the start of a lower-case text, or ""."""
        found = self.compiled.match(lowered)
        return found.group() if found else ""

    def at_a_line(self, lowered: str) -> str:
        """The first match at the start of a line of a lower-case text, or ""."""
        place = 0
        while place >= 0:
            while lowered[place : place + 1] in LINE_MARKS and place < len(lowered):
                place += 1
            found = self.compiled.match(lowered, place)
            if found:
                return found.group()
            place = lowered.find("\n", place) + 1 or -1
        return ""

    def whole(self, lowered: str) -> bool:
        """Whether a pattern matches a whole lower-case text."""
        return self.compiled.fullmatch(lowered) is not None


LINE_MARKS = (" ", "\t", "*", "\n")


@functools.cache
def patterns(name: str, folder: str | None = None) -> Patterns:
    return Patterns(name, folder)


@functools.cache
def entries(name: str) -> frozenset[str]:
    """The entries of a list after `clean`, for comparison with a whole text."""
    return frozenset(clean(line) for line in lines(name))


ALPHABETS = {  # groups of scripts whose keys can be in a text
    "Latin": re.compile("[a-z]"),
    "East Asian": re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]"),
    "other": re.compile("[^\u0000-\u007f\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffef]"),
}


@functools.lru_cache(maxsize=16)
def alphabets(lowered: str) -> frozenset[str]:
    """The groups of ALPHABETS in a lower-case text."""
    if lowered.isascii():
        return LATIN_ALONE if ALPHABETS["Latin"].search(lowered) else NO_LETTER
    return frozenset(name for name, letters in ALPHABETS.items() if letters.search(lowered))


LATIN_ALONE, NO_LETTER = frozenset(["Latin"]), frozenset[str]()


@functools.lru_cache(maxsize=8)  # several rules read the same answer and query
def lowered(text: str) -> str:
    """The text in lower case."""
    return text.lower()


@functools.lru_cache(maxsize=4)  # several rules read the same answer
def vocabulary(text: str) -> frozenset[str]:
    """The distinct words of a text between spaces and punctuation, in lower case."""
    if text.isascii():
        return frozenset(lowered(text).translate(PUNCTUATION).split())
    spaced = lowered(text)
    for mark in _MARKS:  # beyond ASCII at a third of the time of `translate` or an expression
        if mark in spaced:
            spaced = spaced.replace(mark, " ")
    return frozenset(spaced.split())


_MARKS = '.,;:!?()[]{}"*|/<>`。、，،؟¿¡…'
PUNCTUATION = str.maketrans(dict.fromkeys(_MARKS, " "))


def clean(text: str) -> str:
    """The text in lower case, without punctuation or symbols, its words separated by one space."""
    return SYMBOLS.sub(" ", text.lower().replace("'", "").replace("\u2019", "")).strip()


SYMBOLS = re.compile(r"[\W_]+")
