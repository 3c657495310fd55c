"""Document parsing: text by edit distance, tables by TEDS, in whichever markup."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.reading import document_markup
from qvl.reward.verifiers import document

MARKDOWN = "# Sales\n\nThey **rose** in 2015.\n\n| year | sales |\n|---|---:|\n| 2014 | 10 |\n| 2015 | 12 |\n"
HTML = (
    '<html><body><h1 data-bbox="1 2 3 4">Sales</h1><!-- a mark --><p>They rose in 2015.</p>'
    "<table><tr><th>year</th><th>sales</th></tr><tr><td>2014</td><td>10</td></tr>"
    "<tr><td>2015<td>12</table></body></html>"
)
LATEX = (
    "Sales\n\nThey rose in 2015.\n\\begin{tabular}{l|r}\\hline year & sales \\\\ 2014 & 10 \\\\ "
    "2015 & 12 \\\\ \\end{tabular}"
)


def score(answer, content):
    return verify({"id": "r", "task": "document", "answer": answer}, {"content": content})


@pytest.mark.parametrize("answer", [MARKDOWN, HTML, LATEX])
def test_the_same_document_scores_one_in_any_markup(answer):
    for text in (MARKDOWN, HTML, LATEX, f"<think>no</think>{HTML}", f"```html\n{HTML}\n```"):
        assert score(answer, text) == 1, text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Parse the document into Markdown.",
        f"<think>{HTML}",
        HTML * 30,
        "<table>" * 50_000,
        " ".join(str(year) for year in range(1900, 2100)),
        "<tr><td>" * 300,
    ],
)
def test_hacks_and_empty_answers_score_nothing(content):
    assert score(HTML, content) == 0


def test_missing_and_extra_text_costs():
    assert 0.5 < score(MARKDOWN, MARKDOWN.replace("12", "13")) < 1
    assert 0.5 < score(MARKDOWN, MARKDOWN.replace("| 2015 | 12 |\n", "")) < 1
    assert 0.5 < score(MARKDOWN, MARKDOWN + "\nMore of it.") < 1
    # The text is right on both sides (23 characters each); the table (21) is missing.
    assert score(MARKDOWN, MARKDOWN.partition("|")[0]) == pytest.approx(46 / 67)


def test_teds_of_small_tables():
    def table(text):
        (found,) = document_markup.read(text).tables
        return found

    gold = table("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>")
    for text, distance in (
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>x</td></tr></table>", 1),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", 1),
        ("<table><tr><td>a</td><td>b</td></tr></table>", 3),
        ("<table><tr><td colspan=2>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", 1),
    ):
        assert document.teds(gold, table(text)) == pytest.approx(1 - distance / 7)
        assert document.teds(table(text), gold) == pytest.approx(1 - distance / 7)


@pytest.mark.parametrize("answer", [3, ["a"], {"text": "a"}, "<p></p>", "---"])
def test_an_answer_that_is_no_document_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "a")


@settings(deadline=None)
@given(st.text("<table>rd/|-\n a*\\begin{ular}&!", max_size=60))
def test_any_text_has_a_score(text):
    assert 0 <= score(MARKDOWN, text) <= 1


def test_no_text_takes_long():
    gold = MARKDOWN * 200
    for piece in (
        "<!--",
        "<style",
        "<td>",
        "<table>",
        "|",
        "|-",
        "![",
        "[",
        "*",
        "\\begin{tabular}",
        "<a ",
        "&",
    ):
        begin = time.process_time()
        score(gold, piece * (200_000 // len(piece)))
        assert time.process_time() - begin < 5, piece
