"""The promises of qvl-streams(5), through a shell."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import zstandard
from shells import peak_kib

QVL = str(Path(sys.executable).parent / "qvl")


def rows(number: int) -> str:
    return "".join(f'{{"id":"{i}","n":{i}}}\n' for i in range(number))


def test_the_first_bytes_decide_between_plain_and_zstd(sh, tmp_path):
    (tmp_path / "plain.zst").write_text('{"id":"a"}\n')
    (tmp_path / "zstd.jsonl").write_bytes(zstandard.compress(b'{"id":"b"}\n'))
    done = sh("qvl cat plain.zst zstd.jsonl --plain")
    assert done.stdout == '{"id":"a"}\n{"id":"b"}\n'


def test_a_pipe_is_zstd_with_a_checksum(sh):
    done = sh("qvl cat records.jsonl.zst > x; zstd -l -v x | grep -c 'Check: XXH64'; zstd -tq x")
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_concatenated_streams_are_one_stream(sh):
    done = sh("cat records.jsonl.zst records.jsonl.zst | qvl cat | zstdcat | wc -l")
    assert done.stdout.strip() == "20"


def test_a_stream_cut_short_is_an_error_that_names_the_record(sh, tmp_path):
    (tmp_path / "rows.jsonl").write_text(rows(50_000))
    done = sh("zstd -q rows.jsonl && head -c 50000 rows.jsonl.zst | qvl cat -o x.zst; ls x.zst*")
    assert "<stdin>: cut short after record " in done.stderr
    assert "did the stage before it fail?" in done.stderr
    assert "No such file" in done.stderr  # neither a file nor a partial one


@pytest.mark.parametrize("cut", [1, 3, 4, 7, 30])
def test_every_cut_of_a_small_stream_is_an_error(sh, cut):
    done = sh(f"head -c {cut} records.jsonl.zst | qvl cat")
    assert done.returncode == 2


def test_a_corrupt_stream_is_an_error_that_names_the_record(sh, tmp_path):
    data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(rows(90_000).encode()))
    data[-1] ^= 1
    (tmp_path / "bad.zst").write_bytes(data)
    done = sh("qvl cat bad.zst -o x.zst")
    assert done.returncode == 2
    found = re.search("bad.zst: corrupt after record (.*): a checksum does not match", done.stderr)
    assert found
    assert 80_000 < int(found[1]) <= 90_000


def test_garbage_after_a_frame_is_an_error(sh):
    done = sh("(cat records.jsonl.zst; echo garbage) | qvl cat")
    assert done.returncode == 2
    assert "corrupt after record 10" in done.stderr


@pytest.mark.parametrize("lines", [r"{\n", r'{"id":"a"}\n{\n'])
def test_a_failed_stage_fails_the_next_one_without_pipefail(sh, lines):
    done = sh(f"set +o pipefail; printf '{lines}' | qvl cat | qvl cat")
    assert done.returncode == 2
    assert "did the stage before it fail?" in done.stderr


def test_a_killed_stage_fails_the_next_one(sh):
    line = (
        "set +o pipefail; (sleep 5 | qvl cat & sleep 1.5; kill -9 $!; wait) 2>/dev/null | qvl cat"
    )
    assert sh(line).returncode == 2


def test_empty_standard_input_is_an_error_and_a_stream_without_records_is_not(sh):
    assert sh("printf '' | qvl cat").returncode == 2
    done = sh("qvl cat /dev/null | qvl cat | zstdcat")
    assert (done.returncode, done.stdout) == (0, "")


def test_head_ends_quietly_with_success(sh):
    line = 'yes \'{"id":"a"}\' | head -300000 | qvl cat | head -c 1 > x; echo ${PIPESTATUS[2]}'
    done = sh(f"set +o pipefail; {line}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_slow_stage_is_flushed_each_second(sh):
    slow = """(printf '{"id":"1"}\\n'; sleep 4; printf '{"id":"2"}\\n') | qvl cat"""
    done = sh(f"{slow} | (timeout 2.5 cat | wc -c)")
    assert (
        int(done.stdout) > 15
    )  # more than an opened frame: the first record came while the second was awaited


def test_a_file_appears_complete_or_not_at_all(sh, tmp_path):
    (tmp_path / "out.zst").write_text("old")
    sh("printf '{' | qvl cat -o out.zst")
    assert (tmp_path / "out.zst").read_text() == "old"
    assert [p.name for p in tmp_path.glob("*partial*")] == []


def test_output_can_be_its_own_input(sh):
    done = sh(
        "qvl cat records.jsonl.zst records.jsonl.zst -o records.jsonl.zst && zstdcat records.jsonl.zst | wc -l"
    )
    assert done.stdout == "20\n"


def test_output_may_be_a_device_or_a_pipe(sh):
    assert sh("qvl cat records.jsonl.zst -o /dev/null").returncode == 0
    done = sh("qvl cat records.jsonl.zst -o >(zstdcat | wc -l > n); sleep 0.5; cat n")
    assert done.stdout == "10\n"


def test_a_full_disk_is_one_line_and_leaves_nothing(sh):
    done = sh("qvl cat records.jsonl.zst > /dev/full")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_no_partial_file(sh, tmp_path):
    (tmp_path / "rows.jsonl").write_text(rows(100_000))
    done = sh("ulimit -f 100; qvl cat rows.jsonl --plain -o out.jsonl; ls out*")
    assert "File too large" in done.stderr
    assert done.stdout == ""


def test_unwritable_and_missing_files_are_one_line(sh):
    for line in ("qvl cat nowhere", "qvl cat . ", "qvl cat records.jsonl.zst -o no/such/dir"):
        done = sh(line)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_shards_partition_the_stream(sh):
    done = sh("for i in 1 2 3; do qvl cat --plain --shard $i/3 records.jsonl.zst; done | sort")
    whole = sh("qvl cat --plain records.jsonl.zst | sort")
    assert done.stdout == whole.stdout
    assert sh("qvl cat --shard 0/3 records.jsonl.zst").returncode == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)] * 4)
def test_signals_have_their_statuses_and_leave_no_output(tmp_path, number, status):
    process = subprocess.Popen(
        [QVL, "cat", "-o", "out.zst"], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(b'{"id":"1"}\n')
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out.zst.*.partial")):  # it has begun, and minds its signals
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(10) == status
    assert list(tmp_path.iterdir()) == []
    assert b"stopped after" in process.stderr.read()  # type: ignore[union-attr]


def test_an_over_large_window_is_refused_with_the_cure(sh, tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "long.zst").write_bytes(stream.compress(rows(10).encode()) + stream.flush())
    done = sh("qvl cat long.zst")
    assert done.returncode == 2
    assert "window is over 128 MiB" in done.stderr
    assert "--long" in done.stderr


def test_a_skippable_frame_of_another_program_is_ignored(sh, tmp_path):
    (tmp_path / "x.zst").write_bytes(
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstandard.compress(b'{"id":"a"}\n')
    )
    assert sh("qvl cat --plain x.zst").stdout == '{"id":"a"}\n'


def test_rejects_hold_bad_lines_and_nothing_is_lost(sh, tmp_path):
    (tmp_path / "mixed.jsonl").write_bytes(b'{"id":"a"}\n[1]\n{"id":NaN}\n\xff\n{"id":"b"}\n')
    done = sh("qvl cat --plain --on-error reject --rejects bad.jsonl mixed.jsonl")
    assert done.stdout == '{"id":"a"}\n{"id":"b"}\n'
    bad = [orjson.loads(line) for line in (tmp_path / "bad.jsonl").read_bytes().splitlines()]
    assert [r["reject"]["reason"] for r in bad] == ["not-an-object", "not-json", "not-utf-8"]
    assert bad[0]["line"] == "[1]"
    assert "5 read" not in done.stderr
    assert "2 read, 2 kept, 3 rejected" in done.stderr


def test_on_error_reject_needs_rejects(sh):
    assert sh("qvl cat --on-error reject records.jsonl.zst").returncode == 2


def test_recover_keeps_intact_records_before_and_after_the_damage(sh, tmp_path):
    good = zstandard.ZstdCompressor(write_checksum=True).compress(rows(1000).encode())
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 0xFF
    (tmp_path / "damaged.zst").write_bytes(good + bytes(bad) + good + good[:-20])
    done = sh("qvl recover damaged.zst --plain --rejects why.jsonl > out.jsonl; wc -l < out.jsonl")
    assert int(done.stdout) >= 2000
    assert "corrupt 1" in done.stderr
    assert "cut 1" in done.stderr
    lines = (tmp_path / "out.jsonl").read_text()
    assert lines.startswith(rows(1000))
    assert lines.endswith(rows(1000)) or rows(900) in lines[len(rows(2000)) :]
    assert "may be wrong" in (tmp_path / "why.jsonl").read_text()


def test_recover_of_an_intact_stream_is_the_stream(sh):
    done = sh("qvl recover records.jsonl.zst | zstdcat | cmp - <(zstdcat records.jsonl.zst)")
    assert done.returncode == 0


def test_the_same_run_writes_the_same_bytes(sh):
    line = "qvl cat records.jsonl.zst -o x.zst && sha256sum < x.zst && rm x.zst"
    epoch = {"SOURCE_DATE_EPOCH": "0"}
    assert sh(line, **epoch).stdout == sh(line, **epoch).stdout


def test_the_report_is_json_and_agrees_with_the_summary(sh, tmp_path):
    done = sh("qvl cat records.jsonl.zst --report run.json -o x.zst")
    report = orjson.loads((tmp_path / "run.json").read_bytes())
    assert (report["command"], report["read"], report["kept"]) == ("cat", 10, 10)
    assert done.stderr.startswith("qvl cat: 10 read, 10 kept, ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("separator", [",", ", "], ids=["as written", "with spaces"])
@pytest.mark.parametrize("command", ["cat", "set n=1"])
def test_small_records_take_as_little_memory_as_large_ones(sh, tmp_path, command, separator):
    """orjson's bytes keep a kilobyte however short they are: those that waited were over 250 MiB."""
    lines = [f'{{"id":"{number:08d}"{separator}"n":0}}\n' for number in range(100_000)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    assert peak_kib(sh, f"qvl {command} in.jsonl -o out.zst") < 100_000


def test_recover_takes_time_linear_in_the_length_of_a_line(sh, tmp_path):
    """Of a line of 40 MB; joining it anew at each block took fifteen times as long as `cat`."""
    (tmp_path / "long.jsonl").write_bytes(b'{"id":"a","text":"' + b"word %d " * 5_000_000 + b'"}\n')
    sh("zstd -q --fast=5 long.jsonl")
    seconds = {}
    for command in ("cat", "recover"):
        done = sh(f"TIMEFORMAT=%U; time qvl {command} long.jsonl.zst -o out.zst")
        assert done.returncode == 0, done.stderr
        seconds[command] = float(done.stderr.split()[-1])
        assert sh("zstdcat out.zst | cmp - long.jsonl").returncode == 0
    assert seconds["recover"] < 3 * seconds["cat"]
