"""No output is lost, half written or left behind, whatever ends a command."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from qvl.io import atomic

QVL = str(Path(sys.executable).parent / "qvl")


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("cat records.jsonl.zst -o old --rejects old", "-o and --rejects"),
        ("cat records.jsonl.zst -o old --rejects ./x/../old", "-o and --rejects"),
        ("cat records.jsonl.zst -o old --report link", "-o and --report"),
        ("cat records.jsonl.zst -o new --rejects old --report old", "--rejects and --report"),
        ("split --records 9 records.jsonl.zst -o 'o{}' --rejects o00001", "two outputs"),
        (
            "convert --from openai --to openai records.jsonl.zst -o old --rejects old",
            "-o and --rejects",
        ),
    ],
)
def test_two_outputs_cannot_be_one_file(sh, tmp_path, line, flags):
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "x").mkdir()
    done = sh(f"qvl {line}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert flags in done.stderr
    assert (tmp_path / "old").read_text() == "old"
    assert not (tmp_path / "o00001").exists()


def test_both_outputs_may_be_a_device(sh):
    assert sh("qvl cat records.jsonl.zst -o /dev/null --rejects /dev/null").returncode == 0


@pytest.mark.parametrize("plain", ["", "--plain"])
def test_a_full_disk_leaves_no_rejects_that_look_done(sh, tmp_path, plain):
    rows = (f'{{"id":"{n}","x":"{n * 7**40 % 9**41}"}}\n' for n in range(9000))
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    done = sh(
        f"ulimit -f 40; qvl select 'id != \"7\"' rows.jsonl {plain} -o out --rejects no; ls out* no*"
    )
    assert "File too large" in done.stderr
    assert done.stdout == ""


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path):
    first = start(tmp_path)
    (left,) = tmp_path.glob("out.zst.*.partial")
    second = start(tmp_path)
    (other,) = set(tmp_path.glob("out.zst.*.partial")) - {left}
    assert left.name.split(".")[2].startswith(f"{first.pid}-")
    first.kill()
    first.wait()
    assert left.exists() and other.exists()
    third = start(tmp_path)
    assert not left.exists()  # nobody's
    assert other.exists()  # the second run's
    for process in (second, third):
        close(process)
        assert process.wait() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.zst"]


def close(process: subprocess.Popen) -> None:
    """End its input."""
    assert process.stdin
    process.stdin.close()


def start(folder: Path, *before: str) -> subprocess.Popen:
    """A run of `cat` that has begun, and waits for its input."""
    known = set(folder.glob("*.partial"))
    command = [*before, QVL, "cat", "-o", "out.zst"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup ignores it
    )
    assert process.stdin
    process.stdin.write(b'{"id":"1"}\n')
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not set(folder.glob("*.partial")) - known:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    return process


def test_a_terminal_that_is_closed_ends_a_run_as_a_signal_does(tmp_path):
    process = start(tmp_path)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 129
    assert list(tmp_path.iterdir()) == []
    assert process.stderr and b"stopped after" in process.stderr.read()


def test_under_nohup_a_run_survives_its_terminal(tmp_path):
    process = start(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    close(process)
    assert process.wait(20) == 0
    assert (tmp_path / "out.zst").exists()


def test_a_file_is_new_and_never_one_that_lies_under_its_temporary_name(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("kept")
    drawn = iter([b"aaaa", b"bbbb"])
    monkeypatch.setattr(atomic.os, "urandom", lambda size: next(drawn))
    name = f"x.{atomic.os.getpid()}-{b'aaaa'.hex()}.partial"
    (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        atomic.write(tmp_path / "x", b"new")
    atomic.write(tmp_path / "x", b"new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("qvl cat -o x.zst <&-", 2, "<stdin>: Bad file descriptor"),
        ("qvl cat records.jsonl.zst >&-", 2, "<stdout>: Bad file descriptor"),
        ("qvl cat records.jsonl.zst -o x.zst >&-", 0, "10 kept"),
        ("qvl cat records.jsonl.zst -o x.zst <&- >&-", 0, "10 kept"),
        ("qvl cat records.jsonl.zst -o x.zst 2>&-", 0, ""),
        ("qvl cat nowhere 2>&-", 2, ""),
        ("qvl stats records.jsonl.zst >&-", 2, "<stdout>: Bad file descriptor"),
        ("qvl stats records.jsonl.zst >/dev/full", 2, "<stdout>: No space left"),
        ("qvl lineage records.jsonl.zst >&-", 2, "no lineage found"),
        ("qvl --version >/dev/full", 2, "<stdout>: No space left"),
        ("qvl cat --help >&-", 2, "<stdout>: Bad file descriptor"),
    ],
)
def test_a_closed_or_full_standard_stream_is_one_line_at_most(sh, line, status, said):
    done = sh(line)
    assert (done.returncode, len(done.stderr.splitlines())) == (status, 1 if said else 0), done
    assert said in done.stderr
    if "x.zst" in line and status == 0:
        assert sh("zstdcat x.zst | cmp - <(zstdcat records.jsonl.zst)").returncode == 0


def test_a_name_that_is_not_utf8_is_a_name(sh, tmp_path):
    sh("cp records.jsonl.zst $'in\\xff.zst'")
    done = sh("qvl cat $'in\\xff.zst' -o $'out\\xff.zst' --report report.json")
    assert done.returncode == 0, done.stderr
    assert orjson.loads((tmp_path / "report.json").read_bytes())["argv"][1] == "in\\xff.zst"
    done = sh("qvl lineage --json $'out\\xff.zst' | jq -r '.inputs[0].name'")
    assert done.stdout == "in\\xff.zst\n"
    done = sh("qvl mix --ratio 1,1 $'in\\xff.zst' records.jsonl.zst -o o.zst --rejects r.zst")
    assert done.returncode == 0, done.stderr
    done = sh("qvl cat $'no\\xff'")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("epoch", ["abc", "-1", "nan", "1e3", "1" * 30])
def test_a_wrong_source_date_epoch_is_one_line(sh, epoch):
    done = sh("qvl cat records.jsonl.zst -o x.zst", SOURCE_DATE_EPOCH=epoch)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"SOURCE_DATE_EPOCH={epoch}: expected whole seconds" in done.stderr


def test_a_seed_beyond_64_bits_is_a_seed(sh):
    assert (
        sh("qvl shuffle --seed 99999999999999999999999 records.jsonl.zst -o x.zst").returncode == 0
    )
