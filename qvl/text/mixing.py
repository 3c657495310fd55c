"""Language mixing: how much of an answer is in another language than what was asked."""

from qvl.text import function_words, scripts

MAX_MIXED = 0.05
MAX_FOREIGN = 0.08


def excess(
    asked: str,
    part: str,
    *,
    may_quote: bool,
    max_mixed: float = MAX_MIXED,
    max_foreign: float = MAX_FOREIGN,
) -> tuple[float, str]:
    """The share of a text's words that are in another language, and a sample of them; 0 and "" within
    the thresholds (see ResponseRules for each)."""
    share, sample = 0.0, ""
    if not (part.isascii() and asked.isascii()):
        share, sample = scripts.mixture(asked, part, may_quote=may_quote)
    if share <= max_mixed:
        share, sample = function_words.foreign(asked, part)
        if share <= max_foreign or may_quote:
            return 0.0, ""
    return share, f"{share:.2f} of the words, such as {sample!r}"
