"""The scripts of examples/, on tiny data."""

from pathlib import Path

from shells import ROOT, shell


def test_sft_data_makes_packs_and_a_second_run_does_nothing_again(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 200 --test 20")
    assert made.returncode == 0, made.stderr
    line = f"'{ROOT}/examples/sft-data.sh' out data/raw.jsonl.zst {twin}"
    first = run(line, AGAINST="data/test.jsonl.zst")
    assert first.returncode == 0, first.stderr
    checked = run("qvl check out/mixed.jsonl.zst --media-root data")
    assert checked.returncode == 0, checked.stderr
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    assert {"packed-32k.jsonl.zst", "packed-256k.jsonl.zst"} <= {file.name for file in files}
    again = run(line, AGAINST="data/test.jsonl.zst")
    assert again.returncode == 0, again.stderr
    assert files == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}


def test_cold_start_samples_filters_mixes_and_a_second_run_does_nothing_again(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 60 --test 10")
    assert made.returncode == 0, made.stderr
    line = f"qvl serve {twin} --port 0 -- '{ROOT}/examples/cold-start.sh' out data/raw.jsonl.zst"
    first = run(line, K="2", MAX_TOKENS="8", OMP_NUM_THREADS="1")
    assert first.returncode == 0, first.stderr
    checked = run(
        "qvl check out/mixed.jsonl.zst --media-root data && qvl cat --plain out/mixed.jsonl.zst"
    )
    assert checked.returncode == 0 and checked.stdout, checked.stderr
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    again = run(line, K="2", MAX_TOKENS="8", OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    assert files == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
