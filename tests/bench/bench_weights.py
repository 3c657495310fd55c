"""New weights for the engine: seconds to write the Hugging Face folder, and what a rank holds for it.

The twin, and a model of 0.9 GB in bf16; each at several layouts, into memory (/dev/shm) and onto the
disk. CPU seconds are of the rank that takes most; memory is its own, above that of the model. Run by
`make bench`. Prints figures; never fails by them.
"""

import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
from bench_export import write

ROUNDS = 3


def anonymous() -> int:
    """Bytes of this process's own memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def writes(folder: Path, places: list[Path], layout: str) -> list[tuple[float, float, int]]:
    """By place: seconds, CPU seconds and bytes of a write, in the quickest round."""
    import torch

    from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.layout import parse_layout
    from qvl.model.shape import load_shape

    arranged = parse_layout(layout)
    parallel.share(arranged)
    source = Folder(folder)
    dtype = source.dtype(next(name for name in source.names if name.endswith("norm.weight")))
    model = training.build_model(load_shape(folder), arranged, dtype)
    weights.load(model, source)
    torch.set_num_threads(1)
    found = []
    for place in places:
        rounds = []
        for number in range(ROUNDS):
            before, peak, done = anonymous(), 0, threading.Event()

            def watch(before: int = before, done: threading.Event = done) -> None:
                nonlocal peak
                while not done.wait(0.005):
                    peak = max(peak, anonymous() - before)

            watcher = threading.Thread(target=watch)
            watcher.start()
            parallel.barrier()
            started, used = time.perf_counter(), time.process_time()
            weights.write(model, source, place / str(number))
            rounds.append((time.perf_counter() - started, time.process_time() - used))
            done.set()
            watcher.join()
            parallel.barrier()
            if parallel.rank() == 0:
                shutil.rmtree(place / str(number))
        found.append((*min(rounds), peak))
    return found


@pytest.mark.parametrize("kind", ["twin", "0.9 GB"])
def test_a_write_per_step(ranks, twin, tmp_path, kind):
    folder, size = twin, sum(path.stat().st_size for path in twin.glob("*.safetensors"))
    if kind != "twin":
        folder = tmp_path / "model"
        size = write(folder, twin, 7)
    memory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    places = [memory, tmp_path / "disk"]
    try:
        for count, layout in ((1, ""), (2, ""), (2, "tp=2"), (2, "pp=2"), (2, "cp=2")):
            results = ranks(count, writes, folder, places, layout)
            for place, name in enumerate(("/dev/shm", "disk")):
                seconds, used, peak = (max(rank[place][i] for rank in results) for i in range(3))
                print(
                    f"\n{size / 1e6:,.1f} MB, {count} ranks {layout or 'of data'}, {name}: {seconds:.2f} s, "
                    f"{used:.2f} CPU s, {peak / 1e6:,.0f} MB per rank",
                    end="",
                )
    finally:
        shutil.rmtree(memory)
