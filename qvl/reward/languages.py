"""The language of a text, by py3langid: the same answer on every machine, or none.

Its confidence, normalised over 97 languages, was under 0.2 for formulas, names and numbers and over
0.55 for questions of four words in nine languages; between, it is not to be trusted.
"""

from functools import cache, lru_cache
from typing import Any

from qvl.errors import need

LEAST_CONFIDENCE = 0.5  # our choice, by the figures above
READ = 400  # characters that are looked at: more tell no more, and cost


@lru_cache(maxsize=8192)
def language_of(text: str, confidence: float = LEAST_CONFIDENCE) -> str | None:
    """The ISO 639-1 code of a text's language; None where it is too short or too mixed to tell."""
    code, sure = _identifier().classify(text[:READ])
    return str(code) if sure >= confidence else None


@cache
def _identifier() -> Any:
    langid: Any = need("py3langid.langid", extra="reward")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
