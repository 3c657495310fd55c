"""The language of `qvl select` and of every --by."""

import threading
import time

import pytest
from patience import PATIENCE

from qvl.errors import UserError
from qvl.streams.expression import MAX_DEPTH, Expression
from qvl.streams.functions import Slow

RECORD = {
    "id": "r1",
    "task": "math",
    "n": 3,
    "zero": 0,
    "nothing": None,
    "yes": True,
    "odd name": {"x": [1, 2]},
    "scores": {"filter-queries": {"value": 4.5}, "quality": {"value": 2}},
    "responses": [{"reward": 1, "tags": ["a"]}, {"reward": 0.0, "tags": ["b", "c"]}, {}],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image", "image": "a.png"},
                {"type": "text", "text": "Was ist das? 你好"},
            ],
        },
        {"role": "assistant", "content": "Ein Bild."},
    ],
}

TRUE = """
task == "math"
task == 'math' and n == 3
task != "code"
task in ["math", "code"]
task not in ["code"]
not task == "code"
"at" in task
"x" in field("odd name")
field("odd name").x[-1] == 2
n >= 3 and n < 3.5
1 == 1.0
yes == true
yes != 1
zero != false
nothing == null
absent == null
absent.deeper[3].still == null
has(nothing)
not has(absent)
has(scores.quality.value)
has(scores["filter-queries"])
has(responses[2])
not has(responses[3])
not has(task.x)
scores.filter-queries.value > 4
scores["quality"].value < 3
n - 1 == 2
n -1 == 2
n * 2 + 1 == 7
1 + 2 * 3 == 7
(1 + 2) * 3 == 9
-n == -3
7 % 4 == 3
n / 0 == null
task + 1 == null
10 - 3 - 2 == 5
len(task) == 4
len(absent) == 0
len(n) == null
len(messages) == 3
lower("ABC") == "abc"
contains(task, "at")
startswith(task, "ma") and endswith(task, "th")
startswith(n, "3") == false
matches(task, "^m.t")
not matches(n, "3")
matches("a1", "\\d")
matches("a b", "a\\b")
"tab\\there" == 'tab\there'
"\\u4f60\\u597d" in question()
'it\\'s' == "it's"
text("assistant") == "Ein Bild."
contains(text(), "Be brief.")
final() == "Ein Bild."
question() == "Was ist das? 你好"
images() == ["a.png"]
videos() == []
modality() == "multimodal"
media() == "image"
messages[-1].role == "assistant"
messages[1].content[0].type == "image"
mean(responses[*].reward) == 0.5
max(responses[*].reward) == 1 and min(responses[*].reward) == 0
mean(absent) == null
"c" in responses[*].tags[*]
len(responses[*].tags[*]) == 3
responses[*].reward == [1, 0.0]
true or absent.x
not (false or null or 0 or "" or [])
not not true
1_000 == 1e3
99999999999999999999999999999999 > 1e30
[1, "a", null] == [1, "a", null]
__class__ == null
task.__class__ == null
messages.__len__ == null
has == null
"__class__" not in task
"""

REFUSED = {
    "task = 'x'": "column 6: '=' is written '==' here",
    "a && b": "column 3: '&&' is written 'and' here",
    "!a": "column 1: '!' is written 'not' here",
    "": "column 1: empty",
    "   ": "column 1: empty",
    "a < b < c": "column 7: comparisons do not chain",
    "a b": "column 3: unexpected 'b'",
    '"abc': "column 1: a string that does not end",
    "a == ": "column 5: expected a value, found the end",
    "a $ b": "column 3: unexpected '$'",
    "(a": "column 3: expected ')'",
    "a)": "column 2: unexpected ')'",
    "a[b]": "column 3: between [ and ]",
    "a[99999999999]": "column 3: between [ and ]",
    "a.": "column 3: a field's name follows the dot",
    "lenn(a)": "column 1: no function lenn(); there is len",
    "__import__('os')": "column 1: no function __import__()",
    "len()": "column 1: len() takes 1 value",
    "text(1, 2)": "column 1: text() takes 0 or 1 value",
    "has(3)": "column 5: has() expects a field",
    "matches(a, b)": "column 12: the pattern of matches() is a quoted string",
    'matches(a, "(")': "column 12: invalid pattern",
    "1e999": "column 1: the number is too large",
    "9" * 100_000: "column 1: the number is too large",
    "(" * 100_000: f"nested deeper than {MAX_DEPTH} levels",
    "[" * 100_000: f"nested deeper than {MAX_DEPTH} levels",
    "not " * 100_000: f"nested deeper than {MAX_DEPTH} levels",
    "- " * 100_000: f"nested deeper than {MAX_DEPTH} levels",
    "len(" * 100_000: f"nested deeper than {MAX_DEPTH} levels",
    "lambda: 1": "column 7: unexpected ':'",
    "a\x00": "column 2: unexpected '\\x00'",
}


@pytest.mark.parametrize("source", TRUE.strip().splitlines())
def test_is_true(source):
    assert Expression(source)(RECORD) is True


@pytest.mark.parametrize(("source", "why"), REFUSED.items(), ids=lambda text: text[:20])
def test_is_refused_with_the_column(source, why):
    with pytest.raises(UserError) as caught:
        Expression(source)
    assert why in str(caught.value)


def test_an_order_of_unlike_types_is_false_and_counted_but_a_missing_field_is_only_false():
    expression = Expression('task > 3 or n < "9" or absent >= 0 or null < 1 or n in 5')
    assert not expression(RECORD)
    assert expression.unlike == 3


def test_a_pattern_that_backtracks_without_end_is_stopped():
    expression = Expression('matches(text(), "^(a+)+$")')
    began = time.monotonic()
    with pytest.raises(Slow):
        expression({"messages": [{"content": "a" * 60 + "!"}]})
    assert time.monotonic() - began < PATIENCE
    assert expression({"messages": [{"content": "aaa"}]})


def test_long_chains_need_no_stack():
    assert Expression("+".join(["1"] * 50_000))(RECORD) == 50_000
    assert Expression(" and ".join(["n"] * 50_000))(RECORD)
    deep = "(" * MAX_DEPTH + "n" + ")" * MAX_DEPTH
    found = []
    worker = threading.Thread(target=lambda: found.append(Expression(deep)(RECORD)))
    worker.start()
    worker.join()
    assert found == [3]


@pytest.mark.parametrize(
    "messages", [None, 5, "x", [], [None, 3], [{"content": [7, {"type": "text"}]}], [{"role": 3}]]
)
def test_functions_of_the_record_survive_records_that_are_not_sound(messages):
    record = {"messages": messages}
    for name in ("text", "question", "final", "prompt", "images", "videos", "modality", "media"):
        Expression(f"{name}()")(record)


HUGE = "9" * 300


@pytest.mark.parametrize(
    "source",
    [
        f"mean([{HUGE} * {HUGE}])",
        f"mean([{HUGE} * {HUGE}, 1.5])",
        "1e308 * 10",
        "mean([1e308, 1e308])",
    ],
)
def test_a_number_beyond_floats_is_null(source):
    assert Expression(source)({}) is None


@pytest.mark.parametrize(
    "line", ["stats --by '{}'", "dedup --key '[{}]' -o x", "split --by '{}' -o 'p{{}}'"]
)
def test_a_number_beyond_64_bits_is_a_value(sh, line):
    done = sh(f"qvl {line.format('9' * 30 + ' + len(id)')} records.jsonl.zst")
    assert done.returncode == 0, done.stderr
