import orjson
from shells import peak_kib


def make(count: int) -> str:
    return f'seq -f \'{{"id":"%.0f","text":"word word word"}}\' {count} > in.jsonl'


def ids(text: str) -> list[str]:
    return [orjson.loads(line)["id"] for line in text.splitlines()]


def test_every_record_comes_once_in_another_order(sh):
    sh(make(5000))
    found = ids(sh("qvl shuffle in.jsonl --plain").stdout)
    assert found != sorted(found, key=int)
    assert sorted(found, key=int) == [str(number) for number in range(1, 5001)]


def test_the_order_depends_on_the_seed_and_not_on_the_memory(sh):
    sh(make(5000))
    first = sh("qvl shuffle --seed 7 in.jsonl --plain").stdout
    for buffer in ("0.2", "0.01", "0.0001"):
        assert sh(f"qvl shuffle --seed 7 --buffer-mib {buffer} in.jsonl --plain").stdout == first
    assert sh("cat in.jsonl | qvl shuffle --seed 7 --plain").stdout == first
    assert sh("qvl shuffle --seed 8 in.jsonl --plain").stdout != first


def test_every_position_is_equally_likely(sh):
    """The mean place of the first tenth is the middle: over 200 of 2,000, within five sigma."""
    sh(make(2000))
    found = ids(sh("qvl shuffle in.jsonl --plain").stdout)
    places = [place for place, name in enumerate(found) if int(name) <= 200]
    assert abs(sum(places) / 200 - 1000) < 5 * 577 / 200**0.5


def test_temporary_files_are_removed_however_the_command_ends(sh, tmp_path):
    (tmp_path / "scratch").mkdir()
    sh(make(20_000))
    line = "TMPDIR=scratch qvl shuffle --buffer-mib 0.05"
    assert sh(f"{line} in.jsonl -o out.zst").returncode == 0
    assert sh(f"({line} in.jsonl --plain; true) | head -1").returncode == 0
    sh(f"(cat in.jsonl; sleep 5) | timeout -s KILL 1 {line} -o killed.zst")
    sh(f"(cat in.jsonl; sleep 5) | timeout -s TERM 1 {line} -o stopped.zst")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "stopped.zst").exists()


def test_a_full_disk_for_temporary_files_is_one_line(sh):
    sh(make(20_000))
    done = sh("ulimit -f 1; qvl shuffle --buffer-mib 0.5 in.jsonl --plain > /dev/null")
    assert done.returncode == 2
    assert "set TMPDIR to a folder with more room" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_buffer_is_refused(sh):
    done = sh("qvl shuffle --buffer-mib 0 records.jsonl.zst")
    assert done.returncode == 2
    assert "--buffer-mib" in done.stderr


def test_memory_is_bounded(sh, tmp_path):
    """40 MB of records with a buffer of 1 MiB: less than half of them fits in what it takes."""
    line = orjson.dumps({"id": "x", "text": "word " * 400}) + b"\n"
    (tmp_path / "in.jsonl").write_bytes(line * 20_000)
    assert peak_kib(sh, "qvl shuffle --buffer-mib 1 in.jsonl -o o.zst") < 90_000
