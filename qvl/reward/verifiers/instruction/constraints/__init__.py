"""The 25 constraints of IFEval (arXiv 2311.07911, table 1) and 25 of IFBench, by their own names and arguments.

CONSTRAINTS[name](arguments) returns a check, which is called with a text: check(text). IFEval uses nltk and
langdetect; here rules and py3langid do their work. Differences from IFEval:
- a sentence ends at its mark, in Chinese and Japanese too, and not after an abbreviation;
- a text whose language is not detected breaks a constraint on its language, which IFEval accepts, and the
  whole text must be in the language;
- keywords are plain text, not regular expressions.

Rejected here, though IFEval accepts them: all three options of a constrained response, one section named
twice, a postscript without text, a prompt that is repeated and not answered, two quotation marks around
nothing, a comma of another script, an unclosed code fence.
"""

from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.verifiers.instruction.constraints import (
    form,
    keywords,
    layout,
    length,
    shape,
    wording,
)

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

CONSTRAINTS: dict[str, Callable[[Arguments], Check]] = {
    "keywords:existence": keywords.existence,
    "keywords:frequency": keywords.frequency,
    "keywords:forbidden_words": keywords.forbidden_words,
    "keywords:letter_frequency": keywords.letter_frequency,
    "language:response_language": keywords.response_language,
    "length_constraints:number_sentences": length.number_sentences,
    "length_constraints:number_paragraphs": length.number_paragraphs,
    "length_constraints:number_words": length.number_words,
    "length_constraints:nth_paragraph_first_word": length.nth_paragraph_first_word,
    "detectable_content:number_placeholders": form.number_placeholders,
    "detectable_content:postscript": form.postscript,
    "detectable_format:number_bullet_lists": form.number_bullet_lists,
    "detectable_format:constrained_response": form.constrained_response,
    "detectable_format:number_highlighted_sections": form.number_highlighted_sections,
    "detectable_format:multiple_sections": form.multiple_sections,
    "detectable_format:json_format": form.json_format,
    "detectable_format:title": form.title,
    "combination:two_responses": shape.two_responses,
    "combination:repeat_prompt": shape.repeat_prompt,
    "startend:end_checker": shape.end_checker,
    "startend:quotation": shape.quotation,
    "change_case:capital_word_frequency": shape.capital_word_frequency,
    "change_case:english_capital": shape.english_capital,
    "change_case:english_lowercase": shape.english_lowercase,
    "punctuation:no_comma": shape.no_comma,
}

IFBENCH: dict[str, Callable[[Arguments], Check]] = {
    "count:word_count_range": wording.word_count_range,
    "count:unique_word_count": wording.unique_word_count,
    "count:numbers": wording.numbers,
    "count:punctuation": wording.punctuation,
    "count:keywords_multiple": wording.keywords_multiple,
    "words:keywords_specific_position": wording.keyword_position,
    "words:alphabet": wording.alphabet,
    "words:no_consecutive": wording.no_consecutive,
    "words:prime_lengths": wording.prime_lengths,
    "words:repeats": wording.repeats,
    "words:palindrome": wording.palindromes,
    "words:consonants": wording.consonants,
    "words:vowel": wording.vowels,
    "words:last_first": wording.last_first,
    "words:paragraph_last_first": wording.paragraph_last_first,
    "sentence:increment": wording.increment,
    "format:parentheses": layout.parentheses,
    "format:newline": layout.newline,
    "format:list": layout.separators,
    "format:line_indent": layout.line_indent,
    "format:sub-bullets": layout.sub_bullets,
    "format:no_bullets_bullets": layout.sentences_then_bullets,
    "format:output_template": layout.output_template,
    "format:no_whitespace": layout.no_whitespace,
    "format:title_case": layout.title_case,
}
"""Those of IFBench (arXiv 2507.02833, test set) that need no model of language. Differences: a list's mark begins
a line, the template's parts have words and their order, minor words of a title may be small, numbers keep
their commas and points, and a text without words keeps nothing."""
