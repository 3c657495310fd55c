"""What a record costs in each command that passes it on, beside other programs; and in what memory.

`make bench` prints it; nothing fails by time. Each figure is of RUNS rounds, in which every job runs once in
a process of its own, start included. Costs are CPU seconds on all cores: those of the clock change more with
what else the machine does. The bare loop is zstandard and orjson in one thread, without any check.
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
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
BIN = Path(sys.executable).parent

BARE = """
import io, sys, orjson, zstandard
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(source), 1 << 18)
    with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(target) as out:
        for line in lines:
            out.write(orjson.dumps(orjson.loads(line), option=orjson.OPT_APPEND_NEWLINE))
"""

PARSE = """
import io, sys, orjson, zstandard
with open(sys.argv[1], "rb") as source:
    for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(source), 1 << 18):
        orjson.loads(line)
"""

DUCKDB = {
    "copy": "copy (from {table}) to '{out}' (format json, compression zstd)",
    "select": "copy (from {table} where task = 'math' or len(messages) = 2) to '{out}' "
    "(format json, compression zstd)",
    "shuffle": "copy (from {table} order by random()) to '{out}' (format json, compression zstd)",
    "dedup": "copy (from {table} qualify row_number() over (partition by messages) = 1) to '{out}' "
    "(format json, compression zstd)",
}

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

PEERS = {  # what a command is compared with, beside the bare loop
    "qvl cat": "zstd",
    "qvl select": "duckdb select",
    "qvl shuffle": "duckdb shuffle",
    "qvl dedup": "duckdb dedup",
    "qvl stats": "read, parse",
}


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    mib: float


def measure(command: list[str]) -> Cost:
    """What one run of a command costs."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Cost(*json.loads(done.stdout))


def interleaved(jobs: dict[str, list[str]]) -> dict[str, list[Cost]]:
    """RUNS costs of each job, in rounds: what else the machine does meets all of them alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    for _ in range(RUNS):
        for name, command in jobs.items():
            costs[name].append(measure(command))
    return costs


def ratio(costs: list[Cost], others: list[Cost], field: str = "cpu_seconds") -> str:
    """The median over the rounds of a cost to another's, and its range."""
    pairs = zip(costs, others, strict=True)
    found = sorted(getattr(one, field) / getattr(other, field) for one, other in pairs)
    return f"{statistics.median(found):5.2f} ({found[0]:.2f}-{found[-1]:.2f})"


def median(costs: list[Cost], field: str) -> float:
    return statistics.median(getattr(cost, field) for cost in costs)


def qvl(template: str, source: Path, folder: Path) -> list[str]:
    names = {"in": source, "out": folder / "out.zst", "rest": folder / "rest.zst"}
    return [str(BIN / "qvl"), *shlex.split(template.format(**names))]


def peers(source: Path, folder: Path) -> dict[str, list[str]]:
    """What else does such work: Python's libraries without checks, DuckDB, and zstd."""
    python, table = [sys.executable, "-c"], f"read_json('{source}')"
    jobs = {
        "bare loop": [*python, BARE, str(source), str(folder / "bare.zst")],
        "read, parse": [*python, PARSE, str(source)],
        "zstd": ["sh", "-c", f"zstd -dcq {source} | zstd -3qf -o {folder / 'zstd.zst'}"],
    }
    for name, query in DUCKDB.items():
        text = query.format(table=table, out=folder / "duckdb.jsonl.zst")
        jobs[f"duckdb {name}"] = [*python, "import duckdb, sys; duckdb.sql(sys.argv[1])", text]
    return jobs


@pytest.fixture(scope="module", params=[False, True], ids=["plain ids", "long numbers"])
def data(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    return chat_records.write(folder / "in.jsonl.zst", COUNT, long_numbers=request.param)


def test_cpu_seconds(data, tmp_path, request):
    """A ratio is qvl's CPU seconds to the peer's in the same round; lower is better, 1 is equal."""
    jobs = peers(data, tmp_path)
    jobs |= {f"qvl {name}": qvl(line, data, tmp_path) for name, line in COMMANDS.items()}
    costs = interleaved(jobs)
    print(
        f"\n{request.node.callspec.id}: {COUNT:,} chat records of {chat_records.NUM_BYTES / 1000} kB,"
    )
    print(
        f"{os.cpu_count()} cores, {RUNS} rounds; CPU time to the peer's: the median (lowest-highest)"
    )
    print(f"{'':<18}{'CPU us':>8}{'records/s':>11}{'MiB':>6}  {'to bare loop':<19}to the peer")
    for name, found in costs.items():
        peer = PEERS.get(name)
        line = f"{name:<18}{1e6 * median(found, 'cpu_seconds') / COUNT:>8.1f}"
        line += f"{COUNT / median(found, 'seconds'):>11,.0f}{median(found, 'mib'):>6.0f}"
        line += f"  {ratio(found, costs['bare loop'])}"
        print(line + (f"  {ratio(found, costs[peer])} {peer}" if peer else ""))
    sizes = {name: (tmp_path / name).stat().st_size / (1 << 20) for name in ("bare.zst", "out.zst")}
    print(f"MiB written: bare loop, level 3, {sizes['bare.zst']:.1f}; qvl {sizes['out.zst']:.1f}")


def test_near_duplicates_per_second(tmp_path):
    count = min(COUNT, 10_000)
    source = chat_records.write(tmp_path / "in.jsonl.zst", count)
    cost = measure(qvl("dedup --near 0.8 {in} -o {out}", source, tmp_path))
    rate = count / cost.seconds
    print(f"\nqvl dedup --near 0.8: {rate:,.0f} records/s, {cost.mib:.0f} MiB for {count:,} kept")


def test_memory_is_flat(tmp_path):
    """Of ten times the records, all of which `dedup` keeps and remembers."""
    counts = (COUNT, 10 * COUNT)
    paths = [chat_records.write(tmp_path / f"{count}.zst", count) for count in counts]
    print(f"\n{'MiB at the peak':<18}" + "".join(f"{count:>12,}" for count in counts))
    for name, line in COMMANDS.items():
        peaks = [measure(qvl(line, path, tmp_path)).mib for path in paths]
        print(f"{'qvl ' + name:<18}" + "".join(f"{peak:>12.0f}" for peak in peaks))


def test_start_up(tmp_path):
    (tmp_path / "app.py").write_text(TYPER)
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n')
    source, out = str(tmp_path / "in.jsonl"), str(tmp_path / "out.zst")
    bare = "a typer app of two commands"
    jobs = {bare: [sys.executable, str(tmp_path / "app.py"), "--help"]}
    for words in (["--help"], ["cat", "--help"], ["cat", source, "-o", out]):
        name = "qvl " + " ".join("..." if "/" in word else word for word in words)
        jobs[name] = [str(BIN / "qvl"), *words]
    costs = interleaved(jobs)
    print(f"\n{'start-up, lower is better':<34}{'CPU ms':>7}  to a bare app")
    for name, found in costs.items():
        print(f"{name:<34}{1000 * median(found, 'cpu_seconds'):>7.0f}  {ratio(found, costs[bare])}")
