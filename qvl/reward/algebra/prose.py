r"""The expression that a line of prose ends with: "so the charge is +2", "Hence $x=1$ or $x=2$."."""

import re

from qvl.reward.algebra.symbols import FUNCTIONS, GREEK, SEPARATORS, with_scripts

MAX_WORDS = 400  # at the end of a line
_DISPLAYED = re.compile(r"\$\$(.+?)\$\$|\$([^$]+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_LETTERS = re.compile(r"\\?[A-Za-z]+")
_UNKNOWN = re.compile(r"[^\W\d_A-Za-z]")
_ENDS = ".,;:!?。，；：！？"
_HAS_MATHEMATICS = re.compile(r"[\d=+*/^|<>()\[\]{}\\√π∞≤≥≠±∅%°²³−-]")
_CONNECTS = re.compile(r"[\s,;]*(?:\band\b|\bor\b|[,;、和或])?[\s,;]*", re.IGNORECASE)
_NAMES = {*FUNCTIONS, *GREEK, "infinity", "inf"}
_ARTICLES = {"a", "A", "I"}


def last_expression(line: str) -> str | None:
    """The last expression of a line, with those that a comma, "and" or "or" joins to it; None without one."""
    line = line if line.isascii() else with_scripts(line)
    spans = list(_DISPLAYED.finditer(line))
    if not spans:
        return _plain(line)
    after = _plain(line[spans[-1].end() :])
    if after is not None and any(map(str.isdigit, after)):
        return after
    first = len(spans) - 1
    while first and _CONNECTS.fullmatch(line, spans[first - 1].end(), spans[first].start()):
        first -= 1
    return ", ".join(next(filter(None, span.groups())) for span in spans[first:])


def _plain(text: str) -> str | None:
    """The last run of words that are mathematics."""
    if not text.isascii():
        text = _UNKNOWN.sub(lambda found: found[0] if found[0].isascii() or found[0] in "παβγθ" else f" {found[0]} ", text)  # fmt: skip
    words = text.split()[-MAX_WORDS:]
    run: list[str] = []
    for word in reversed(words):
        bare = word.rstrip(_ENDS)
        if not run and (not bare or bare in _ARTICLES):
            continue
        if run and word != bare and word[-1] not in ",;":  # the end of a sentence before
            break
        if _is_mathematics(bare) or (run and bare.lower() in SEPARATORS and bare):
            run.append(word)
        elif run:
            break
    while run and (
        run[-1].lower().strip(",;") in SEPARATORS
        or run[-1] in _ARTICLES
        or run[-1] in ("-", "–", ":", "=")
    ):
        run.pop()
    expression = " ".join(reversed(run)).rstrip(_ENDS)
    return expression or None


def _is_mathematics(word: str) -> bool:
    """Whether a word of prose is a part of an expression: digits, signs, a letter, the name of a function."""
    if not word or _UNKNOWN.search(word):
        return False
    names = [name for name in _LETTERS.findall(word) if not name.startswith("\\")]
    unknown = [name for name in names if len(name) > 1 and name not in _NAMES]
    if any(len(name) > 3 for name in unknown):
        return any(each.isdigit() for each in word) and any(
            part in word for part in ("sin", "cos", "tan", "log", "sqrt", "pi")
        )
    if _HAS_MATHEMATICS.search(word):
        return (
            not unknown
            or not re.fullmatch(r"[\w'’]+(?:-[\w'’]+)*|\([A-Za-z'’]+\)?|[A-Za-z'’]+\)", word)
            or bool(
                re.fullmatch(r"\d+[a-z]{1,3}", word)
                and not re.fullmatch(r"\d+(?:st|nd|rd|th)", word)
            )
        )
    return not unknown and (len(word) == 1 or word in _NAMES)
