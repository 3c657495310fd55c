"""Language mixing: how much of an answer is in a language that the query does not use."""

from qvl.text import function_words, scripts

MAX_MIXED = 0.05
MAX_FOREIGN = 0.08


def excess(
    query: str,
    part: str,
    *,
    may_quote: bool,
    max_mixed: float = MAX_MIXED,
    max_foreign: float = MAX_FOREIGN,
) -> tuple[float, str]:
    """The share of words in another language, and a sample of them; 0 and "" within the thresholds, which
    ResponseRules describes."""
    share, sample = 0.0, ""
    if not (part.isascii() and query.isascii()):
        share, sample = scripts.mixture(query, part, may_quote=may_quote)
    if share <= max_mixed:
        share, sample = function_words.foreign(query, part)
        if share <= max_foreign or may_quote:
            return 0.0, ""
    return share, f"{share:.2f} of the words, such as {sample!r}"
