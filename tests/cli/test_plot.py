"""`qvl plot` and `qvl stats` as a terminal, a narrow one, and a pipe see them."""

import re
import shutil

import orjson
import pytest
from terminals import terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def two_runs(sh, tmp_path):
    for name, shift in (("a", 0.0), ("b", 0.5)):
        (tmp_path / name).mkdir()
        rows = [{"settings": {}, "step": 0}]
        rows += [{"step": n, "loss": 3 / n + shift, "lr": 0.1} for n in range(1, 40)]
        (tmp_path / name / "log.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    return sh


def test_a_pipe_gets_letters_and_no_colour(two_runs):
    done = two_runs("qvl plot a b", COLUMNS="70")
    lines = done.stdout.splitlines()
    assert lines[0] == "loss"
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 70
    assert {"a a", "b b"} <= set(lines)
    assert any(re.fullmatch(r" *\d* \|.*a.*", line) for line in lines)
    one = two_runs("qvl plot --metric loss a").stdout
    assert re.search("[\u2801-\u28ff]", one)
    assert two_runs("qvl plot --metric loss a", PYTHONIOENCODING="ascii").stdout.isascii()


def test_a_terminal_gets_dots_a_colour_per_run_and_charts_side_by_side(two_runs, tmp_path):
    shown = terminal(["qvl", "plot", "a", "b"], tmp_path, columns=130)
    assert {"\x1b[36m", "\x1b[33m"} <= set(COLOUR.findall(shown))
    plain = COLOUR.sub("", shown).splitlines()
    assert plain[0].split() == ["loss", "lr"]
    assert max(map(len, plain)) <= 130
    without = terminal(["qvl", "plot", "a", "b"], tmp_path, columns=130, NO_COLOR="1")
    assert not re.search(r"\x1b\[3\dm", without)


def test_png_and_svg_are_written_whole_and_alike(two_runs, tmp_path):
    pytest.importorskip("matplotlib")
    done = two_runs(
        "qvl plot --smooth 3 a b -o x.svg && qvl plot --smooth 3 a b -o y.svg && cmp x.svg y.svg "
        "&& qvl plot --x step --log-y a -o x.png"
    )
    assert (done.returncode, done.stdout) == (0, "")
    svg = (tmp_path / "x.svg").read_text()
    assert "<svg" in svg and ">loss<" in svg and ">b<" in svg
    from PIL import Image

    with Image.open(tmp_path / "x.png") as image:
        assert min(image.size) > 300
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50


def test_what_cannot_be_drawn_is_one_line(two_runs):
    for line, words in (
        ("qvl plot nowhere", "nowhere: No such file or directory; expected a run's folder"),
        ("qvl plot records.jsonl.zst", "not JSON"),
        ("qvl plot --metric x a", "--metric x: not in these logs; they have loss, lr"),
        ("qvl plot --x hours a", "--x hours: expected step, tokens, seconds"),
        ("qvl plot a -o x.pdf", "x.pdf: expected a name that ends in .png or .svg"),
    ):
        done = two_runs(line)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr


def test_a_list_of_metrics_is_a_table(two_runs):
    lines = [line.split() for line in two_runs("qvl plot --list a b").stdout.splitlines()]
    assert lines == [["metric", "a", "b"], ["loss", "0.0769231", "0.576923"], ["lr", "0.1", "0.1"]]


def test_a_narrow_terminal_cuts_names_and_leaves_out_bars_but_no_figure(sh, tmp_path):
    shutil.copy(tmp_path / "records.jsonl.zst", tmp_path / "r.zst")
    wide = terminal(["qvl", "stats", "r.zst"], tmp_path, columns=120)
    assert "\x1b[1mby task" in wide and "\u2588" in wide
    narrow = COLOUR.sub("", terminal(["qvl", "stats", "r.zst"], tmp_path, columns=32))
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 32
    assert "\u2588" not in narrow
    assert ["math", "2", "20.0%"] in [line.split() for line in narrow.splitlines()]
    assert not re.search(r"\d(\u2026|\.\.\.)", narrow)
    assert "\x1b[3" not in terminal(["qvl", "stats", "r.zst"], tmp_path, columns=120, NO_COLOR="1")
