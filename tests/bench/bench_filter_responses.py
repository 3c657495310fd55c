"""`qvl filter-responses` beside datatrove's Gopher filters and Data-Juicer's text filters, on one core.

    pytest tests/bench/bench_filter_responses.py --override-ini=python_files='bench_*.py' -s

datatrove runs its repetition and quality filters, JSON lines in and out, zstd; Data-Juicer the eight filters
of its recipes for text that need no model, plain JSON lines in and out. Both are installed into temporary
environments; DATATROVE_PYTHON and DATA_JUICER_PYTHON name ones that have them already. What is compared is
the CPU time of whole processes less that of a run on one record, as a busy machine changes it less than the
clock. Records are answers of some 1.3 kB, sentences of the labelled sound texts: in English, and in eight
languages by turns.
"""

import json
import os
import random
import re
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path

import orjson
import pytest
import zstandard

from qvl.io import jsonl

COUNT = int(os.environ.get("BENCH_RECORDS", "20000"))
DATATROVE_COUNT = 2000  # records that datatrove is measured on, which takes long
LANGUAGES = {"English": ("en",), "eight": ("en", "zh", "ja", "ko", "ru", "es", "ar", "de")}
SENTENCE = re.compile(r"(?<=[.!?]) +|(?<=\u3002)")
DATATROVE = ("datatrove[io,processing]==0.10.1", "spacy")
DATA_JUICER = ("py-data-juicer==1.6.1", "aiohttp")
TEXTS = Path(__file__).parent.parent / "curate" / "labelled"

GOPHER = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

def adapter(self, data, path, id_in_file):
    return {"id": data["id"], "text": data["messages"][-1]["content"], "metadata": data}

source, out, logs = sys.argv[1:]
LocalPipelineExecutor(
    [
        JsonlReader(source, compression="zstd", adapter=adapter),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        JsonlWriter(out, compression="zstd"),
    ],
    tasks=1, workers=1, logging_dir=logs,
).run()
"""

JUICER = """
dataset_path: {source}
export_path: {out}
np: 1
use_cache: false
process:
  - alphanumeric_filter:
  - average_line_length_filter:
  - character_repetition_filter:
  - maximum_line_length_filter:
  - special_characters_filter:
  - text_length_filter:
  - words_num_filter:
  - word_repetition_filter:
"""


def answers(count: int, languages: tuple[str, ...]):
    draw = random.Random(0)
    texts: dict[str, list[dict]] = {language: [] for language in languages}
    for path in sorted(TEXTS.glob("texts_*.jsonl")):
        for text in map(json.loads, path.read_text().splitlines()):
            if text["language"] in texts:
                texts[text["language"]].append(text)
    sentences = {
        language: [
            sentence
            for text in found
            for sentence in SENTENCE.split(text["content"])
            if sentence.strip()
        ]
        for language, found in texts.items()
    }
    for number in range(count):
        language = languages[number % len(languages)]
        own = sentences[language]
        yield {
            "id": f"r{number}",
            "messages": [
                {"role": "user", "content": draw.choice(texts[language])["asked"]},
                {
                    "role": "assistant",
                    "content": " ".join(draw.sample(own, min(14, len(own)))),
                },
            ],
        }


def write(path: Path, count: int, languages: tuple[str, ...]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
        for record in answers(count, languages):
            out.write(orjson.dumps(record) + b"\n")
    return path


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds of a command with its processes, and those of the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began


def python_with(packages: tuple[str, ...], given: str | None, folder: Path) -> str:
    """The interpreter that is given, or that of a new environment with the packages."""
    if given:
        return given
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


@pytest.fixture(scope="module")
def datatrove(tmp_path_factory) -> str:
    given = os.environ.get("DATATROVE_PYTHON")
    return python_with(DATATROVE, given, tmp_path_factory.mktemp("datatrove"))


@pytest.fixture(scope="module")
def data_juicer(tmp_path_factory) -> str:
    given = os.environ.get("DATA_JUICER_PYTHON")
    return python_with(DATA_JUICER, given, tmp_path_factory.mktemp("data-juicer"))


def ours(source: Path, out: Path, jobs: int = 1) -> tuple[float, float]:
    qvl = str(Path(sys.executable).parent / "qvl")
    return cost([qvl, "filter-responses", str(source), "-o", str(out), "--jobs", str(jobs)])


def by_datatrove(python: str, source: Path, folder: Path) -> float:
    """CPU seconds."""
    script = folder / "gopher.py"
    script.write_text(GOPHER)
    out, logs = folder / f"out-{source.parent.name}", folder / f"logs-{source.parent.name}"
    return cost([python, *map(str, (script, source.parent, out, logs))])[0]


def by_data_juicer(python: str, source: Path, folder: Path) -> float:
    """CPU seconds."""
    name = source.parent.name
    plain, config = folder / f"{name}.jsonl", folder / f"{name}.yaml"
    with plain.open("wb") as file:
        for record in jsonl.read(str(source)):
            text = {"id": record["id"], "text": record["messages"][-1]["content"]}
            file.write(orjson.dumps(text) + b"\n")
    config.write_text(JUICER.format(source=plain, out=folder / f"juicer-{name}" / "out.jsonl"))
    return cost([str(Path(python).parent / "dj-process"), "--config", str(config)])[0]


@pytest.mark.parametrize("name", LANGUAGES)
def test_records_a_second_of_one_core(tmp_path, datatrove, data_juicer, name):
    large, small, none = (
        write(tmp_path / f"{folder}/in.jsonl.zst", count, LANGUAGES[name])
        for folder, count in (("large", COUNT), ("small", DATATROVE_COUNT), ("none", 1))
    )
    by_data_juicer(data_juicer, none, tmp_path)  # its first run prepares its modules
    empty, whole = ours(none, tmp_path / "out.zst")[0], ours(large, tmp_path / "out.zst")[0]
    mine = COUNT / (whole - empty)
    print(f"\n{name}: qvl filter-responses: {mine:,.0f} records per CPU second")
    peers = {
        "datatrove": (by_datatrove, datatrove, small, DATATROVE_COUNT),
        "Data-Juicer": (by_data_juicer, data_juicer, large, COUNT),
    }
    for peer, (by_peer, python, source, count) in peers.items():
        spent = by_peer(python, source, tmp_path) - by_peer(python, none, tmp_path)
        theirs = count / spent
        print(f"{peer}: {theirs:,.0f}; qvl is {mine / theirs:.1f} times as fast")


def test_two_cores(tmp_path):
    source = write(tmp_path / "in/in.jsonl.zst", COUNT, LANGUAGES["eight"])
    print()
    seconds = {}
    lines = set()
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}.zst"
        cpu, clock = seconds[jobs] = ours(source, out, jobs)
        lines.add(zstandard.ZstdDecompressor().decompressobj().decompress(out.read_bytes()))
        print(
            f"--jobs {jobs}: {COUNT / clock:,.0f} records per second of the clock, {cpu:.1f} CPU s"
        )
    (one, slow), (two, fast) = seconds.values()
    print(
        f"{slow / fast:.2f} times as fast by the clock; at most {2 * one / two:.2f} on two free cores"
    )
    assert len(lines) == 1
