"""What a checkpoint costs in memory, what is noticed when it is broken, and what a full disk leaves."""

import json
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import checkpoints
import pytest
from test_equals_transformers import STEP, build

from qvl.errors import UserError
from qvl.io import checksums


def trained(folder):
    """A trainer after a step, and the batch of it."""
    from qvl.megatron import training

    trainer = training.prepare(build(folder), replace(STEP, min_lr_ratio=0.1), 4)
    line = checkpoints.pack(1)
    batch = checkpoints.batch(folder, line)
    training.step(trainer, [batch], 1, checkpoints.sft_loss([line]))
    return trainer


def save(trainer, place, step):
    from qvl.megatron import checkpoint

    checkpoint.begin(trainer, place, {"step": step}, keep=2).finish()


def problems(folder, place, breaks):
    """What is said of a checkpoint, whole and then broken in several ways, each by itself."""
    from qvl.megatron import checkpoint, parallel

    trainer = trained(folder)
    save(trainer, place, 1)
    whole = place / "step-0000001"
    found = [checkpoint.problem(whole)]
    for number, name in enumerate(breaks):
        copy = place / f"copy-{number}"
        parallel.on_first(lambda copy=copy, name=name: broken(whole, copy, name))
        found.append(checkpoint.problem(copy))
    return found


def broken(whole: Path, copy: Path, how: str) -> None:
    shutil.copytree(whole, copy)
    if how == "no checksums":
        (copy / checksums.NAME).unlink()
        return
    if how == "cut checksums":
        (copy / checksums.NAME).write_text("{")
        return
    path = max(copy.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(byte ^ 255 for byte in content[middle : middle + 64])
        path.write_bytes(content)


BREAKS = {
    "missing": r"rank-0000\d\.safetensors is missing",
    "cut": r"rank-0000\d\.safetensors has [\d,]+ bytes instead of [\d,]+",
    "64 flipped bytes": r"rank-0000\d\.safetensors is damaged: its checksum differs",
    "no checksums": r"checksums\.json is missing",
    "cut checksums": r"checksums\.json cannot be read",
}


def test_a_broken_checkpoint_is_noticed_by_every_rank(ranks, dense, tmp_path):
    for whole, *found in ranks(2, problems, dense, tmp_path, list(BREAKS)):
        assert whole is None
        for expected, problem in zip(BREAKS.values(), found, strict=True):
            assert re.match(expected, problem), problem


def saved_until_the_disk_is_full(folder, place):
    """The error of a second save that can write no file over 100 kB, and what the trainer is worth
    after it."""
    trainer = trained(folder)
    save(trainer, place, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        save(trainer, place, 2)
    except UserError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so_on_every_rank(ranks, dense, tmp_path):
    for error in ranks(2, saved_until_the_disk_is_full, dense, tmp_path):
        assert error == (
            f"{tmp_path}/step-0000002: cannot write the checkpoint: File too large; the last one is "
            f"{tmp_path}/step-0000001; make room and continue with --resume"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]
    sums = json.loads((tmp_path / "step-0000001" / checksums.NAME).read_text())
    assert sums and all(
        checksums.problem(tmp_path / "step-0000001" / name, tuple(each)) is None
        for name, each in sums.items()
    )


def host_memory(folder, place):
    """Bytes by which a save raises the peak of this process, and what the rank has written."""
    from qvl.megatron import checkpoint, parallel, training

    trainer = training.prepare(build(folder), STEP, 4)
    checkpoint.workarounds.allocate_state(trainer.optimizer)
    parallel.barrier()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    save(trainer, place, 1)
    parameters = sum(each.numel() for each in trainer.model.parameters())
    return peak() - before, parameters


def peak() -> int:
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) * 1024


# Of a save, beside what it copies: a rank's plan, its buffers and the modules that it imports.
CONSTANT = 24 << 20


@pytest.mark.parametrize("count", [2, 4])
def test_a_save_takes_16_bytes_a_parameter_over_the_ranks_that_share_it(
    ranks, tmp_path, large, count
):
    for more, parameters in ranks(count, host_memory, large, tmp_path):
        assert parameters > 9e6
        assert more < 16 * parameters / count + CONSTANT, f"{more / parameters:.1f} bytes each"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint of 10 million parameters, so that what a save copies is more than noise."""
    folder = tmp_path_factory.mktemp("large")
    return checkpoints.write_checkpoint(folder, moe=False, tied=True, ffn=16_384)
