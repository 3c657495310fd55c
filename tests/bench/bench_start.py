"""How long commands take that load torch and do next to nothing, with `gc_frozen` and without.

Run by `make bench`. Prints figures; never fails by them. Alternately, five times each; the median.
"""

import shutil
import statistics
import subprocess
import sys
import time

from shells import shell

TIMES = 5
# As `qvl` is started, once with the search for garbage that is spared, and Megatron's compiler.
START = """
import contextlib, sys
from importlib.metadata import entry_points
if sys.argv.pop(1) == "plain":
    from qvl import imports
    imports.gc_frozen = contextlib.nullcontext
    if sys.argv[1] == "sft":
        from qvl.megatron import cpu
        cpu.uncompiled = contextlib.nullcontext
sys.argv[0] = "qvl"
(script,) = entry_points(group="console_scripts", name="qvl")
script.load()()
"""


def seconds(folder, kind, words):
    shutil.rmtree(folder / "out", ignore_errors=True)
    started = time.perf_counter()
    command = [sys.executable, "-c", START, kind, *words.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def test_commands_that_load_torch(tmp_path, twin):
    (tmp_path / "twin").symlink_to(twin)
    line = "qvl tiny data d --tasks add --train 20 --test 2 --defect-share 0"
    line += " && qvl pack --model twin --context 512 d/raw.jsonl.zst -o packed.jsonl.zst"
    assert shell(tmp_path)(line).returncode == 0
    print(f"\nseconds, start to end, the median of {TIMES}; plain: with neither saving")
    step = "sft --model twin --steps 1 --batch 1 -o out packed.jsonl.zst"
    for words in ("serve twin --port 0 -- true", step, "tiny model out"):
        kinds = ("plain", "now")
        runs = [[seconds(tmp_path, kind, words) for kind in kinds] for _ in range(TIMES)]
        plain, now = (statistics.median(each) for each in zip(*runs, strict=True))
        print(f"  {words.split(' --')[0]:30} {now:5.2f}, plain {plain:5.2f}: {now / plain:.2f}")
