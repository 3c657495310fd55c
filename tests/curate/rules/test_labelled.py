"""The rules on labelled answers, which labelled/README.md describes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "labelled"
LEAST_PRECISION = 0.95
LEAST_RECALL = {"development": 0.94, "heldout": 0.87}  # of all defects together


def module(name):
    spec = importlib.util.spec_from_file_location(f"labelled_{name}", FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("part", LEAST_RECALL)
def test_what_is_dropped_deserves_it(part):
    measure = module("measure")
    assert len(measure.cases(part)) >= 400
    rows, _ = measure.measured(part)
    assert {name: row for name, row in rows.items() if row.precision < LEAST_PRECISION} == {
        name: row for name, row in rows.items() if name == "keep"
    }
    assert rows["any"].recall >= LEAST_RECALL[part]


@pytest.mark.parametrize("part", LEAST_RECALL)
def test_the_generated_answers_are_what_the_generator_gives(part):
    done = subprocess.run(
        [sys.executable, FOLDER / "generate.py", part], capture_output=True, check=True
    )
    assert done.stdout == (FOLDER / f"{part}.generated.jsonl").read_bytes()


def test_every_language_that_is_promised_is_there():
    generate = module("generate")
    for part in LEAST_RECALL:
        languages = {text["language"] for text in generate.load(f"texts_{part}.jsonl")}
        assert languages >= {"zh", "en", "ja", "ko", "ar", "ru", "es"}
