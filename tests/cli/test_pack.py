"""`qvl pack`: several cores, resuming, and records that do not fit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shells import shell

from qvl.io import jsonl
from qvl.tiny import data


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("packing")
    (made / "twin").symlink_to(twin)
    data.write(made, data.DataPlan(names=["digit", "add"], train=300, test=2, defect_share=0))
    return made


def test_two_processes_write_the_same_bytes_as_one(folder):
    sh = shell(folder)
    line = "qvl pack --model twin --context 512 raw.jsonl.zst"
    assert sh(f"{line} -o one.zst && {line} --jobs 2 -o two.zst").returncode == 0
    assert list(jsonl.read(str(folder / "one.zst"))) == list(jsonl.read(str(folder / "two.zst")))


def test_a_killed_run_resumes_to_the_same_packs(folder):
    line = "qvl pack --model twin --context 512"
    assert shell(folder)(f"{line} raw.jsonl.zst -o whole.zst").returncode == 0
    slowly = 'while IFS= read -r line; do printf "%s\\n" "$line"; sleep 0.02; done'
    command = f"zstdcat raw.jsonl.zst | {slowly} | {line} -o killed.zst"
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=env, stderr=subprocess.PIPE, process_group=0
    )
    journal = folder / "killed.zst.journal"
    while not journal.exists() or journal.stat().st_size < 1000:
        assert process.poll() is None
        time.sleep(0.05)

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "killed.zst").exists()
    done = shell(folder)(f"{line} --resume raw.jsonl.zst -o killed.zst")
    assert done.returncode == 0 and " resumed" in done.stderr
    assert list(jsonl.read(str(folder / "killed.zst"))) == list(
        jsonl.read(str(folder / "whole.zst"))
    )


def test_a_long_record_is_rejected_or_truncated_by_the_rule(folder):
    turn = [{"role": "user", "content": "count"}, {"role": "assistant", "content": "1 2 3 " * 30}]
    jsonl.write([{"id": "long", "messages": turn * 3}], str(folder / "long.zst"))
    sh = shell(folder)
    line = "qvl pack --model twin --context 300 --rejects bad.zst long.zst | zstdcat"
    assert sh(line).stdout == ""
    (bad,) = jsonl.read(str(folder / "bad.zst"))
    assert bad["reject"]["reason"] == "too-long"
    for rule, most in (("end", 300), ("turns", 299)):
        sh(f"qvl pack --model twin --context 300 --too-long {rule} long.zst -o cut.zst")
        (pack,) = jsonl.read(str(folder / "cut.zst"))
        assert 100 < len(pack["input_ids"]) <= most
        assert pack["loss_weights"][-1][1] <= len(pack["input_ids"])
    assert "expected reject, end, turns" in sh("qvl pack --model twin --too-long x long.zst").stderr


def test_a_missing_image_stops_and_names_its_record_or_is_rejected(folder):
    def row(name, content):
        turn = {"role": "user", "content": content}
        return {"id": name, "messages": [turn, {"role": "assistant", "content": "x"}]}

    gone = row("r7", [{"type": "image", "image": "gone.png"}])
    jsonl.write([gone, row("r8", "count")], str(folder / "gone.zst"))
    sh = shell(folder)
    line = "qvl pack --model twin --context 300 gone.zst"
    done = sh(f"{line} -o one.zst")
    assert done.returncode == 2 and "record 'r7': image " in done.stderr
    done = sh(f"{line} -o two.zst --on-error reject --rejects bad.zst")
    assert done.returncode == 0, done.stderr
    (rejected,) = jsonl.read(str(folder / "bad.zst"))
    assert rejected["id"] == "r7" and rejected["reject"]["reason"] == "media"
