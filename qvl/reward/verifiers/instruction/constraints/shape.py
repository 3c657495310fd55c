"""Constraints on the beginning, the end and the case of a text, and on its commas."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments
from qvl.reward.verifiers.instruction.constraints.length import divided
from qvl.text.languages import languages_in

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

_WORD = re.compile(r"\w+(?:['’.-]\w+)*")  # O'NEIL, HIGH-END and U.S. are one word each


def two_responses(given: Arguments) -> Check:
    """Two different texts with ****** between them."""

    def check(text: str) -> bool:
        parts = text.split("******")
        filled = {part.strip() for part in parts if part.strip()}
        return divided(parts) == 2 and len(filled) == 2

    return check


def repeat_prompt(given: Arguments) -> Check:
    """The text begins with `prompt_to_repeat`, and an answer follows."""
    prompt = arguments.text(given, "prompt_to_repeat").strip().lower()

    def check(text: str) -> bool:
        lowered = text.strip().lower()
        return lowered.startswith(prompt) and len(lowered) > len(prompt)

    return check


def end_checker(given: Arguments) -> Check:
    """The text ends with `end_phrase`; a quotation mark may follow."""
    phrase = arguments.text(given, "end_phrase").strip().lower()
    return lambda text: text.strip().strip('"').lower().endswith(phrase)


def quotation(given: Arguments) -> Check:
    """The whole text is in double quotation marks."""
    return lambda text: len(text.strip()) > 2 and text.strip()[0] == text.strip()[-1] == '"'


def capital_word_frequency(given: Arguments) -> Check:
    """Less than, or at least, `capital_frequency` words in capitals."""
    holds = arguments.relation(given, "capital_relation", "capital_frequency")
    return lambda text: holds(sum(word.isupper() for word in _WORD.findall(text)))


def english_capital(given: Arguments) -> Check:
    """English, all in capitals."""
    return lambda text: text.isupper() and _may_be_english(text)


def english_lowercase(given: Arguments) -> Check:
    """English, all in lower case."""
    return lambda text: text.islower() and _may_be_english(text)


def _may_be_english(text: str) -> bool:
    """Whether no other language is detected; short texts pass, as the constraint is about the case."""
    lowered = text.lower()
    return languages_in(lowered) <= {"en"} and re.search("[a-z]", lowered) is not None


def no_comma(given: Arguments) -> Check:
    """No comma of any script."""
    return lambda text: not any(comma in text for comma in ",，、،")
