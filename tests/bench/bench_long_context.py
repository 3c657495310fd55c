"""One step of `qvl sft` on a pack of 256K tokens: context parallelism over two processes, recomputation.

Takes some ten minutes on two cores: the work of attention grows with the square of a record's length,
here six records of some 43,000 tokens. Prints the time and the largest process.
"""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from qvl.io import jsonl

BIN = Path(sys.executable).parent
WORDS = (Path(__file__).parents[2] / "README.md").read_text().split()
RECORDS, LENGTH = 6, 9000  # words


def records():
    draw = random.Random(0)
    for number in range(RECORDS):
        turns = [{"role": "user", "content": "Repeat."}]
        turns.append({"role": "assistant", "content": " ".join(draw.choices(WORDS, k=LENGTH))})
        yield {"id": f"r{number}", "messages": turns}


def largest(process, peak):
    """Follow the resident memory of a process's children, in KiB."""
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
            except OSError:  # ended meanwhile
                continue
            if fields["PPid"].strip() == str(process.pid) and "VmHWM" in fields:
                peak[path.parent.name] = int(fields["VmHWM"].split()[0])
        time.sleep(0.5)


def test_a_step_of_256k_tokens(twin, tmp_path):
    jsonl.write(records(), str(tmp_path / "in.zst"))
    pack = [BIN / "qvl", "pack", "--model", twin, "--context", "256k", "in.zst", "-o", "packed.zst"]
    subprocess.run(pack, cwd=tmp_path, check=True, capture_output=True)
    (line,) = jsonl.read(str(tmp_path / "packed.zst"))
    words = ["--model", twin, "-o", "out", "--nproc", "2", "--layout", "cp=2", "--recompute"]
    started, peak = time.monotonic(), {}
    process = subprocess.Popen(
        [BIN / "qvl", "sft", *words, "--steps", "1", "--batch", "1", "packed.zst"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    watcher = threading.Thread(target=largest, args=(process, peak))
    watcher.start()
    assert process.wait() == 0
    watcher.join()
    print(
        f"\n{len(line['input_ids']):,} tokens, cp=2, --recompute: {time.monotonic() - started:.0f} s, "
        f"{max(peak.values()) / 2**20:.1f} GiB in the larger process"
    )
