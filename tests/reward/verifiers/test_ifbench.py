"""The constraints of IFBench, kept and broken."""

import pytest

from qvl.reward.verdict import judge
from qvl.reward.verifiers.instruction.constraints import IFBENCH

TIMES = {
    "keyword1": "kiwi",
    "keyword2": "fig",
    "keyword3": "plum",
    "keyword4": "pear",
    "keyword5": "lime",
}
FRUIT = "kiwi " + "fig " * 2 + "plum " * 3 + "pear " * 5
EXAMPLES = {  # constraint -> (arguments, texts that keep it, texts that do not)
    "count:word_count_range": ({"min_words": 2, "max_words": 3}, ["One two.", "a b c"], ["one", "a b c d", "- - a"]),
    "count:unique_word_count": ({"N": 3}, ["red green blue"], ["red, Red green"]),
    "count:numbers": ({"N": 2}, ["1,234.5 and 7"], ["1, 2 and 3", "none", "x1 2"]),
    "count:punctuation": ({}, ["What?! A; b: c, d. E! F?"], ["A; b: c, d. E! F?", "What?! A; b: c, d."]),
    "count:keywords_multiple": (TIMES, [FRUIT + "lime " * 7], [FRUIT + "lime " * 6, FRUIT + "kiwi " + "lime " * 7, FRUIT + "limes " * 7]),
    "words:keywords_specific_position": ({"keyword": "cat", "n": 2, "m": 3}, ["Hi there. See the cat. Bye."], ["See the cat.", "Hi. The cat sits."]),
    "words:alphabet": ({}, ["Zoe ate big cakes.", "Ann"], ["Ann can", "1 2", "..."]),
    "words:no_consecutive": ({}, ["A big cat"], ["big bear", "!"]),
    "words:prime_lengths": ({}, ["the seven of"], ["a cat", "four"]),
    "words:repeats": ({"small_n": 1}, ["One two"], ["one One", ""]),
    "words:palindrome": ({}, ["level radar civic " * 4], ["level radar civic " * 3, "noon mum " * 9]),
    "words:consonants": ({}, ["Strong spring"], ["Strong tea"]),
    "words:vowel": ({}, ["A cat sits on it"], ["A cute bee sits on it", "a\nb"]),
    "words:last_first": ({}, ["I see it. It runs. Runs fast."], ["I see it. He runs."]),
    "words:paragraph_last_first": ({}, ["Rain is rain.\n\nSun, oh sun"], ["Rain is wet."]),
    "sentence:increment": ({"small_n": 1}, ["Go. Go on. Go on now."], ["Go. Go on now.", "Go. Go."]),
    "format:parentheses": ({}, ["(a[b{c(d[e])}])"], ["((((a))))", "(((((a", "(a)(b)(c)(d)(e)", "([{([)]}])"]),
    "format:newline": ({}, ["a\nb\n\nc"], ["a b\nc"]),
    "format:list": ({"sep": "!?!?"}, ["!?!? one\n!?!? two"], ["!?!? one", "one !?!? two !?!? three"]),
    "format:line_indent": ({}, ["a\n b\n  c"], ["a\nb", "a\n b\n b", "a"]),
    "format:sub-bullets": ({}, ["* a\n  - b\n* c\n  - d"], ["* a\n* b\n - c", "- a", "* a - b"]),
    "format:no_bullets_bullets": ({}, ["One. Two.\n* a\n* b"], ["One.\n* a\n* b", "One. Two.\n* a", "One. Two.\n* a\n* b\nThree."]),
    "format:output_template": ({}, ["My Answer: a My Conclusion: b\nFuture Outlook: c"], ["My Answer: My Conclusion: Future Outlook:", "Future Outlook: a My Conclusion: b My Answer: c"]),
    "format:no_whitespace": ({}, ["all-in-one"], ["a b", "a\nb"]),
    "format:title_case": ({}, ["The Lord of the Rings", "A Cat's Life"], ["The lord of the Rings", "the Cat", "42"]),
}  # fmt: skip


def reward(name, arguments, text):
    answer = {"instruction_id_list": [name], "kwargs": [arguments]}
    found = judge({"task": "instruction", "answer": answer}, {"content": text})
    assert found.status == "ok", found
    return found.reward


def test_all_have_examples():
    assert set(EXAMPLES) == set(IFBENCH)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_constraint_tells_texts_that_keep_it_from_others(name):
    arguments, kept, broken = EXAMPLES[name]
    assert [reward(name, arguments, text) for text in kept] == [1.0] * len(kept)
    assert [reward(name, arguments, text) for text in broken] == [0.0] * len(broken)
    assert reward(name, arguments, "") == 0


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name][0]])
def test_an_argument_that_is_missing_gives_no_verdict(name):
    answer = {"instruction_id_list": [name], "kwargs": [{}]}
    assert judge({"task": "instruction", "answer": answer}, {"content": "a"}).status == "error"


@pytest.mark.parametrize("flood", ["(" * 100_000, "a " * 50_000, "* " * 50_000, "?!" * 50_000, "." * 100_000, "My Answer:" * 10_000])  # fmt: skip
def test_no_flood_takes_a_constraint_long(flood):
    import time

    for name, (arguments, _, _) in EXAMPLES.items():
        started = time.process_time()
        reward(name, arguments, flood)
        assert time.process_time() - started < 1, name
