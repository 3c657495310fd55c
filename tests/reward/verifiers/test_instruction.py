"""The 25 constraints of IFEval, kept and broken, and what a verdict makes of them."""

import tracemalloc
from pathlib import Path
from time import process_time

import orjson
import pytest

from qvl.reward import Unverifiable
from qvl.reward.verdict import judge, unverifiable
from qvl.reward.verifiers.instruction import loose, strict
from qvl.reward.verifiers.instruction.constraints import CONSTRAINTS, length
from qvl.text.languages import language_of, languages_in

FRENCH = "La tour est sur la rive gauche du fleuve, et un bateau passe sous le pont."
ENGLISH = "The tower is on the left bank of the river and a boat passes under it."
PARTS = "First part. *** Second part."

EXAMPLES = {  # constraint -> (arguments, texts that keep it, texts that do not)
    "keywords:existence": (
        {"keywords": ["Cat", "dog"]}, ["The DOG saw a cat."], ["The dog saw it.", "c a t dog"],
    ),
    "keywords:frequency": (
        {"relation": "at least", "keyword": "cat", "frequency": 2}, ["Cat, cat."], ["One cat."],
    ),
    "keywords:forbidden_words": (
        {"forbidden_words": ["cat"]}, ["A category."], ["A Cat!", "the cat's tail"],
    ),
    "keywords:letter_frequency": (
        {"let_relation": "less than", "letter": "E", "let_frequency": 2}, ["One."], ["Eve."],
    ),
    "language:response_language": (
        {"language": "fr"}, [FRENCH], [ENGLISH, "42", "..."],
    ),
    "length_constraints:number_sentences": (
        {"relation": "at least", "num_sentences": 3},
        ["One. Two! Three?", "一。二。三。"],
        ["Mr. Fox met Dr. Owl at 3.5 miles, e.g. here.", "One. Two."],
    ),
    "length_constraints:number_paragraphs": (
        {"num_paragraphs": 2}, [PARTS, "***" + PARTS], [PARTS + " *** Third.", "One", "a *** *** b"],
    ),
    "length_constraints:number_words": (
        {"relation": "less than", "num_words": 4}, ["One two three."], ["One two three four."],
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        ["One.\n\n\"Then, two.", "One.\n\n\nThen"],
        ["Then.\n\nOne.", "One.\n\nThen.\n\nThree.", "One.\n\n*Then*, two."],
    ),
    "detectable_content:number_placeholders": (
        {"num_placeholders": 2}, ["[name] of [place]"], ["[name]", "[[name]"],
    ),
    "detectable_content:postscript": (
        {"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S. I wait.", "Bye. p. p. s I wait"],
        ["Bye. P.S. I wait.", "Bye. P.P.S.", "P. P. Smith waits."],
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2}, ["* a\n* b", "- a\n  - b\n**no**"], ["* a", "* a\n- b\n- c", "a * b"],
    ),
    "detectable_format:constrained_response": (
        {}, ["My answer is yes.", "Well: My answer is maybe."],
        ["Yes.", "my answer is yes.", "My answer is yes. My answer is no."],
    ),
    "detectable_format:number_highlighted_sections": (
        {"num_highlights": 2}, ["*one* and **two**"], ["*one*", "** ** and *one*"],
    ),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Section", "num_sections": 2},
        ["Section 1\na\nSection 2\nb"],
        ["Section 1\na", "Section 1 Section 1", "Section 1\na\nSECTION 2\nb"],
    ),
    "detectable_format:json_format": (
        {}, ['{"a": 1}', '```json\n{"a": 1}\n```'],
        ['Here: {"a": 1}', "{a: 1}", '```json\n{"a": 1}'],
    ),
    "detectable_format:title": ({}, ["<<A song>>\nLa."], ["<A song>", "<< >>", "<<A\nsong>>"]),
    "combination:two_responses": (
        {}, ["One.******Two."], ["One.******One.", "One.", "One.******Two.******Three."],
    ),
    "combination:repeat_prompt": (
        {"prompt_to_repeat": "Write a poem."}, ["write a poem.\nRoses."], ["Roses.", "Write a poem."],
    ),
    "startend:end_checker": (
        {"end_phrase": "Is that all?"}, ["Yes. is that all?", '"Is that all?"'], ["Is that all? Yes."],
    ),
    "startend:quotation": ({}, ['"All of it."'], ['"Half" of it.', '"', '""']),
    "change_case:capital_word_frequency": (
        {"capital_relation": "at least", "capital_frequency": 2}, ["NASA and ESA."], ["NASA, Esa.", "the U.S. alone"],
    ),
    "change_case:english_capital": ({}, [ENGLISH.upper(), "YES."], [ENGLISH, FRENCH.upper(), "42"]),
    "change_case:english_lowercase": ({}, [ENGLISH.lower()], [ENGLISH, FRENCH.lower(), "42"]),
    "punctuation:no_comma": ({}, ["One. Two."], ["One, two.", "一，二"]),
}  # fmt: skip

SEVERAL = {
    "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
    "kwargs": [{}, {"keywords": ["tower"], "relation": None, "num_words": None}],
}


def record_of(answer):
    return {"id": "a", "task": "instruction", "answer": answer}


def one(name, arguments):
    return record_of({"instruction_id_list": [name], "kwargs": [arguments]})


def test_all_25_have_examples():
    assert set(EXAMPLES) == set(CONSTRAINTS) and len(CONSTRAINTS) == 25


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("verifier", [strict, loose])
def test_a_constraint_accepts_a_text_that_keeps_it(name, verifier):
    arguments, kept, _ = EXAMPLES[name]
    for text in kept:
        assert verifier.score(one(name, arguments), {"content": text}) == 1.0, text


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_constraint_rejects_a_text_that_breaks_it(name):
    arguments, _, broken = EXAMPLES[name]
    for text in broken:
        assert strict.score(one(name, arguments), {"content": text}) == 0.0, text
    loosely = [loose.score(one(name, arguments), {"content": text}) for text in broken]
    assert 0.0 in loosely


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name][0]])
def test_an_argument_that_is_missing_null_or_of_another_type_is_reported(name):
    arguments = EXAMPLES[name][0]
    for key in arguments:
        rest = {other: value for other, value in arguments.items() if other != key}
        for given in (rest, *({**rest, key: value} for value in (None, {}, [[]], True, -1.5, ""))):
            assert f"{key}: expected" in str(unverifiable(one(name, given))), given


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("detectable_format:json_format", 'Sure, here it is:\n{"a": 1}'),
        ("startend:quotation", 'Here:\n"All of it."\nDone.'),
        ("combination:repeat_prompt", "**Write a poem.**\nRoses."),
        ("startend:end_checker", "Yes. *Is that all?*"),
    ],
)
def test_loosely_a_greeting_or_markdown_breaks_nothing(name, text):
    record = one(name, EXAMPLES[name][0])
    assert strict.score(record, {"content": text}) == 0.0
    assert loose.score(record, {"content": text}) == 1.0


def test_all_must_be_kept_and_what_is_not_is_named():
    whole = strict.judge(record_of(SEVERAL), {"content": "A tower stands here."})
    assert (whole.reward, whole.detail) == (1.0, "")
    part = strict.judge(record_of(SEVERAL), {"content": "A tower, and a boat."})
    assert (part.reward, part.detail) == (0.0, "not kept: punctuation:no_comma")
    assert strict.judge(record_of(SEVERAL), {"content": "A tower, so."}, partial=True).reward == 0.5


@pytest.mark.parametrize("text", ["", "  \n", "<think>a tower", "<think>a tower</think>"])
def test_an_empty_answer_keeps_nothing(text):
    record = one("punctuation:no_comma", {})
    for verifier in (strict, loose):
        assert verifier.judge(record, {"content": text}, partial=True).reward == 0.0


def test_the_thinking_is_ignored():
    record = one("punctuation:no_comma", {})
    assert strict.score(record, {"content": "<think>a, b</think>So it is."}) == 1.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("no comma", "expected {instruction_id_list"),
        ({"instruction_id_list": []}, "expected {instruction_id_list"),
        ({"instruction_id_list": ["punctuation:no_dot"], "kwargs": [{}]}, "unknown constraint 'punctuation:no_dot'"),
        ({"instruction_id_list": [["punctuation:no_comma"]], "kwargs": [{}]}, "unknown constraint ["),
        ({"instruction_id_list": ["keywords:frequency"], "kwargs": [{"keyword": "a", "relation": ["at least"], "frequency": 1}]}, "relation: expected 'less than'"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}, {}]}, "kwargs: expected a list of 1"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [3]}, "kwargs[0]: expected an object"),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": "cat"}]}, "keywords: expected a list"),
        ({"instruction_id_list": ["keywords:frequency"], "kwargs": [{"keyword": "a", "relation": "over", "frequency": 1}]}, "relation: expected 'less than'"),
        ({"instruction_id_list": ["length_constraints:number_paragraphs"], "kwargs": [{"num_paragraphs": 2.5}]}, "whole number"),
    ],
)  # fmt: skip
def test_an_answer_that_names_no_constraint_is_unverifiable_even_without_text(answer, message):
    with pytest.raises(Unverifiable) as error:
        strict.score(record_of(answer), {"content": ""})
    assert message in str(error.value)
    assert judge(record_of(answer), {"content": "x"}).status == "error"


def test_kwargs_may_be_left_out_and_numbers_be_floats():
    assert strict.score(
        record_of({"instruction_id_list": ["punctuation:no_comma"]}), {"content": "a"}
    )
    record = one("length_constraints:number_paragraphs", {"num_paragraphs": 2.0})
    assert strict.score(record, {"content": PARTS}) == 1.0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("No mark at all", 1),
        ("One. Two", 2),
        ('He said "Go!" and left. Then it rained...', 2),
        ("Dr. J. R. Smith lives in the U.S. and works there.", 1),
        ("It costs 3.50 dollars. See fig. 2 for more.", 2),
        ("你好。你是谁？", 2),
        ("Really?! Yes.", 2),
        ("यह एक है। वह दो।", 2),
        ("یہ ایک ہے۔ کیا؟", 2),
    ],
)
def test_sentences_end_at_their_marks(text, count):
    assert length.sentences(text) == count


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("zh", "这座塔在左岸"), ("ja", "塔は左岸にある"),
        ("ko", "탑은 왼쪽에 있다"), ("th", "หอคอย"),
        ("bn", "এটি একটি টাওয়ার"),
        ("te", "ఇది ఒక గోపురం"),
        ("ta", "இது ஒரு கோபுரம்"),
        ("gu", "આ એક ટાવર છે"),
        ("ru", "Башня стоит на левом берегу реки."),
        ("de", "Der Turm steht am linken Ufer des Flusses."), ("en", ENGLISH),
        ("sw", "Mnara uko kwenye ukingo wa kushoto wa mto huo mkubwa."),
        ("fi", "Torni seisoo joen vasemmalla rannalla, ja vene kulkee sillan alta."),
        ("vi", "Tháp nằm ở bờ trái của con sông."),
    ],
)  # fmt: skip
def test_languages_are_detected_by_their_script_or_their_words(code, text):
    check = CONSTRAINTS["language:response_language"]
    assert check({"language": code})(text)
    others = {"zh", "ja", "ko", "ru", "de", "fi"} - {code}
    assert not any(check({"language": other})(text) for other in others)


@pytest.mark.parametrize(
    ("marker", "text", "kept"),
    [
        ("P.S.", "Bye.\nP. S. I wait.", True),
        ("P.S.", "Bye.\nP. Smith waits.", False),
        ("P.S.", "Bye.\nP.S I wait.", False),
        ("PS:", "Bye.\nPS: I wait.", True),
        ("附言", "再见。附言我等你", True),
    ],
)
def test_a_postscript_begins_with_its_marker(marker, text, kept):
    check = CONSTRAINTS["detectable_content:postscript"]({"postscript_marker": marker})
    assert check(text) is kept


def test_a_first_word_may_have_a_mark_of_its_own():
    check = CONSTRAINTS["length_constraints:nth_paragraph_first_word"]
    holds = check({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "Don't"})
    assert holds("Don't, I say.") and holds("don't") and not holds("Don, I say.")


@pytest.mark.parametrize(
    "piece",
    [
        "```",
        ".",
        "!",
        "[",
        "*",
        "<<",
        "- ",
        " ",
        "\n",
        "p.s. ",
        "p.s ",
        '"',
        "'",
        "1",
        "a-",
        "******",
    ],
)
@pytest.mark.parametrize("end", ["", "x"])
def test_no_repeated_piece_takes_a_constraint_long(piece, end):
    """No alarm rings in here, so that what is read twice over would never end."""
    for name, (arguments, _, _) in EXAMPLES.items():
        check, text = CONSTRAINTS[name](arguments), "```" + piece * 50_000 + end
        started = process_time()
        check(text)
        assert process_time() - started < 2, name


def test_a_text_is_in_a_language_to_its_end():
    check = CONSTRAINTS["language:response_language"]
    chinese = "这座塔在左岸。"
    assert check({"language": "fr"})(FRENCH * 40) and check({"language": "zh"})(chinese * 400)
    for code, text in (("fr", FRENCH * 10), ("zh", chinese * 400)):
        assert not check({"language": code})(text + ENGLISH * 50)
        assert not check({"language": code})(ENGLISH * 50 + text)
    lower = CONSTRAINTS["change_case:english_lowercase"]({})
    assert lower(ENGLISH.lower() * 20) and not lower((ENGLISH * 10 + FRENCH * 20).lower())


def test_a_kana_that_is_quoted_leaves_a_text_chinese():
    text = "日语的“の”表示所有关系。"
    check = CONSTRAINTS["language:response_language"]
    assert check({"language": "zh"})(text) and not check({"language": "ja"})(text)


def test_language_detection_caches_no_long_text():
    long = "The tower is on the left bank of the river. " * 20_000
    language_of(long)  # loads the model
    tracemalloc.start()
    for number in range(20):
        languages_in(f"{number} {long}")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < len(long)


def test_each_sentence_of_the_languages_of_ifeval_is_in_its_own_and_in_no_other():
    lines = (Path(__file__).parent / "languages.jsonl").read_bytes().splitlines()
    texts = {each["language"]: each["sentences"] for each in map(orjson.loads, lines)}
    check = CONSTRAINTS["language:response_language"]
    checks = {code: check({"language": code}) for code in texts}
    assert len(texts) == 31
    for code, sentences in texts.items():
        for text in sentences:
            assert [other for other in checks if checks[other](text)] == [code], text
            assert language_of(text) == code


@pytest.mark.parametrize("kwargs", [[], 0, "", [0], [[]], [{}, {}]])
@pytest.mark.parametrize("text", ["", "fine"])
def test_only_null_stands_for_no_arguments(kwargs, text):
    answer = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": kwargs}
    with pytest.raises(Unverifiable):
        strict.score(record_of(answer), {"content": text})
    for none in (None, [None], [{}]):
        given = {**answer, "kwargs": none}
        assert strict.score(record_of(given), {"content": "fine"}) == 1.0
