"""How fast records flow, and in how much memory. `make bench` prints it; nothing fails by time.

Each figure is the median of RUNS runs in a process of its own, start included. Records a second are
those of the clock; "cpu" is what a record costs on all cores, which a busy machine changes less. The
bare loop is zstandard and orjson in one thread: what the machine can do in Python.
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import chat_records
import pytest

COUNT = int(os.environ.get("BENCH_RECORDS", "100000"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
BIN = Path(sys.executable).parent

BARE = """
import io, sys, orjson, zstandard
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(source), 1 << 18)
    with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(target) as out:
        for line in lines:
            out.write(orjson.dumps(orjson.loads(line), option=orjson.OPT_APPEND_NEWLINE))
"""

TYPER = """
import typer
app = typer.Typer(add_completion=False, rich_markup_mode=None)
@app.command()
def one(name: str = "a"): "One."
@app.command()
def two(name: str = "b"): "Two."
app()
"""

# Runs a command and prints its seconds and its peak memory: a process's own, not its parent's.
MEASURE = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds = time.perf_counter() - began
if done.returncode:
    sys.exit(done.stderr.decode())
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""

COMMANDS = {
    "cat": "cat {in} -o {out}",
    "select": "select 'task == \"math\" or len(messages) == 2' {in} -o {out}",
    "mix": "mix {in} -o {out} --rejects {rest}",
    "shuffle": "shuffle {in} -o {out}",
    "split": "split --ratio a=9,b=1 {in} -o {out}.{{}}",
    "dedup": "dedup {in} -o {out}",
    "stats": "stats {in}",
}


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    mib: float


def measure(command: list[str]) -> Cost:
    """Medians over RUNS."""
    runs = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    return Cost(*map(statistics.median, zip(*runs, strict=True)))


def qvl(template: str, source: Path, folder: Path) -> list[str]:
    names = {"in": source, "out": folder / "out.zst", "rest": folder / "rest.zst"}
    return [str(BIN / "qvl"), *shlex.split(template.format(**names))]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return chat_records.write(tmp_path_factory.mktemp("bench") / "in.jsonl.zst", COUNT)


def test_records_per_second(data, tmp_path):
    print(f"\n{COUNT:,} chat records of {chat_records.NUM_BYTES / 1000} kB, {os.cpu_count()} cores")
    bare = measure([sys.executable, "-c", BARE, str(data), str(tmp_path / "bare.zst")])
    costs = {f"qvl {name}": measure(qvl(line, data, tmp_path)) for name, line in COMMANDS.items()}
    cat = costs["qvl cat"]
    print(
        f"{'':<14}{'records/s':>10}{'to cat':>8}{'to bare':>8}{'cpu us':>8}{'to bare':>8}{'MiB':>6}"
    )
    for name, cost in {"bare loop": bare, **costs}.items():
        print(
            f"{name:<14}{COUNT / cost.seconds:>10,.0f}{cat.seconds / cost.seconds:>8.2f}"
            f"{bare.seconds / cost.seconds:>8.2f}{1e6 * cost.cpu_seconds / COUNT:>8.1f}"
            f"{cost.cpu_seconds / bare.cpu_seconds:>8.2f}{cost.mib:>6.0f}"
        )


def test_near_duplicates_per_second(tmp_path):
    count = min(COUNT, 10_000)
    source = chat_records.write(tmp_path / "in.jsonl.zst", count)
    cost = measure(qvl("dedup --near 0.8 {in} -o {out}", source, tmp_path))
    rate = count / cost.seconds
    print(f"\nqvl dedup --near 0.8: {rate:,.0f} records/s, {cost.mib:.0f} MiB for {count:,} kept")


def test_memory_is_flat(data, tmp_path):
    larger = tmp_path / "larger.jsonl.zst"
    with larger.open("wb") as file:
        for _ in range(10):
            file.write(data.read_bytes())
    print(f"\n{'MiB at the peak':<18}{COUNT:>12,}{10 * COUNT:>12,}")
    for name in ("cat", "mix", "shuffle"):
        peaks = [measure(qvl(COMMANDS[name], path, tmp_path)).mib for path in (data, larger)]
        print(f"{'qvl ' + name:<18}" + "".join(f"{peak:>12.0f}" for peak in peaks))


def test_start_up(tmp_path):
    (tmp_path / "app.py").write_text(TYPER)
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n')
    bare = measure([sys.executable, str(tmp_path / "app.py"), "--help"]).seconds
    print(f"\n{'start-up':<34}{'ms':>6}{'to bare':>9}")
    print(f"{'a typer app of two commands':<34}{1000 * bare:>6.0f}{1:>9.2f}")
    source, out = str(tmp_path / "in.jsonl"), str(tmp_path / "out.zst")
    for words in (["--help"], ["cat", "--help"], ["cat", source, "-o", out]):
        seconds = measure([str(BIN / "qvl"), *words]).seconds
        name = "qvl " + " ".join("..." if "/" in word else word for word in words)
        print(f"{name:<34}{1000 * seconds:>6.0f}{seconds / bare:>9.2f}")
