"""The scripts of examples/, on tiny data."""

from pathlib import Path

import orjson
import pytest
from shells import ROOT, shell

from qvl.io import jsonl


def times(folder: Path) -> dict[Path, int]:
    """When each file of a folder was last written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_sft_data_makes_packs_and_a_second_run_skips_everything(tmp_path: Path, twin: Path) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 200 --test 20")
    assert made.returncode == 0, made.stderr
    line = f"'{ROOT}/examples/sft-data.sh' out data/raw.jsonl.zst {twin}"
    first = run(line, AGAINST="data/test.jsonl.zst")
    assert first.returncode == 0, first.stderr
    checked = run("qvl check out/mixed.jsonl.zst --media-root data")
    assert checked.returncode == 0, checked.stderr
    files = times(tmp_path / "out")
    made_files = {file.name for file in files}
    assert {"packed-32k.jsonl.zst", "packed-256k.jsonl.zst"} <= made_files
    assert {"standard.jsonl.zst", "thinking.jsonl.zst"} <= made_files
    again = run(line, AGAINST="data/test.jsonl.zst")
    assert again.returncode == 0, again.stderr
    assert files == times(tmp_path / "out")


def test_cold_start_samples_filters_mixes_and_a_second_run_skips_everything(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 60 --test 10")
    assert made.returncode == 0, made.stderr
    line = f"qvl serve {twin} --port 0 -- '{ROOT}/examples/cold-start.sh' out data/raw.jsonl.zst"
    first = run(line, K="2", MAX_TOKENS="8", OMP_NUM_THREADS="1")
    assert first.returncode == 0, first.stderr
    checked = run(
        "qvl check out/standard.jsonl.zst --media-root data && qvl cat --plain out/standard.jsonl.zst"
    )
    assert (tmp_path / "out" / "thinking.jsonl.zst").exists()
    assert checked.returncode == 0 and checked.stdout, checked.stderr
    files = times(tmp_path / "out")
    again = run(line, K="2", MAX_TOKENS="8", OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    assert files == times(tmp_path / "out")


def test_rl_data_chooses_by_two_models_and_a_second_run_skips_everything(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 30 --test 6 --tasks add,count,odd-count")
    assert made.returncode == 0, made.stderr
    script = f"'{ROOT}/examples/rl-data.sh' out data/raw.jsonl.zst"
    line = f"qvl serve {twin} --port 0 -- {script}"
    given = {"K": "2", "MAX_TOKENS": "6", "JOBS": "1", "OMP_NUM_THREADS": "1"}
    mix = {"RATIO": "math=3", "BATCH_SIZE": "4"}
    first = run(line, **given, **mix)
    assert first.returncode == 0, first.stderr
    assert "all-wrong" in first.stderr  # random weights cannot count
    rows = run("qvl cat --plain out/rl.jsonl.zst").stdout.splitlines()
    chosen = [orjson.loads(row) for row in rows]
    assert chosen and len(chosen) % 4 == 0
    for record in chosen:
        assert record["task"] == "math" and "boxed" in record["format_prompt"]
        assert record["scores"]["rl-prepare"]["policy"]["judged"] == 2
    for name in ("rl", "triggers"):
        checked = run(f"qvl check out/{name}.jsonl.zst --media-root data")
        assert checked.returncode == 0, checked.stderr
    known = run("qvl select 'source == \"qvl/triggers\"' out/triggers.jsonl.zst --plain")
    assert len(known.stdout.splitlines()) == 24
    files = times(tmp_path / "out")
    again = run(f"env QVL_ENDPOINT=http://127.0.0.1:9 {script}", **given, **mix)
    assert again.returncode == 0, again.stderr
    assert files == times(tmp_path / "out")


def test_rl_learns_in_two_stages_and_a_second_run_skips_them(tmp_path: Path, twin: Path) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 20 --test 4 --tasks add --defect-share 0")
    assert made.returncode == 0, made.stderr
    data = "data/raw.jsonl.zst data/test.jsonl.zst data/raw.jsonl.zst"
    line = f"'{ROOT}/examples/rl.sh' out {twin} {data}"
    given = {"N": "2", "BATCH": "2", "STEPS": "1", "GENERAL_STEPS": "1", "MAX_TOKENS": "4"}
    first = run(line, **given, OMP_NUM_THREADS="1")
    assert first.returncode == 0, first.stderr
    for stage in ("reasoning", "general"):
        assert (tmp_path / "out" / stage / "model.safetensors").exists()
        assert "evaluation" in (tmp_path / "out" / stage / "log.jsonl").read_text()
    again = run(line, **given, OMP_NUM_THREADS="1")
    assert again.returncode == 0 and "step 1" not in again.stderr, again.stderr


def test_rl_on_pictures_asks_one_question_of_each(tmp_path: Path) -> None:
    run = shell(tmp_path)
    given = {"TRAIN": "115", "TEST": "10", "ONLY_DATA": "1"}
    done = run(f"'{ROOT}/examples/rl-twin-visual.sh' demo", **given)
    assert done.returncode == 0, done.stderr
    queries = list(jsonl.read(str(tmp_path / "demo/queries.jsonl.zst")))
    every = {one["id"]: one for one in jsonl.read(str(tmp_path / "demo/data/raw.jsonl.zst"))}
    assert len(queries) == 10
    for query in queries:
        (asked,) = query["messages"]
        first, answer = every[query["id"]]["messages"][:2]
        assert asked == first and asked["content"][0]["type"] == "image"
        assert query["answer"] == answer["content"] in set("123456789")
    held = list(jsonl.read(str(tmp_path / "demo/held-out.jsonl.zst")))
    seen = {one["messages"][0]["content"][0]["image"] for one in queries}
    assert held and not seen & {one["messages"][0]["content"][0]["image"] for one in held}


def test_a_nightly_run_does_each_new_file_once_and_tells_of_one_that_fails(tmp_path: Path) -> None:
    run = shell(tmp_path)
    made = run("qvl tiny data data --train 40 --test 4 --tasks add,sum")
    assert made.returncode == 0, made.stderr
    (tmp_path / "raw").mkdir()
    for name in ("one", "two"):
        (tmp_path / "raw" / f"{name}.jsonl.zst").symlink_to(tmp_path / "data" / "raw.jsonl.zst")
    line = f"'{ROOT}/examples/cron.sh' raw out"
    first = run(line)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"cron.sh: 2 new files in {tmp_path}/out\n"
    assert run("qvl check out/one.jsonl.zst && qvl check out/two.jsonl.zst").returncode == 0
    cut = (tmp_path / "data" / "raw.jsonl.zst").read_bytes()[:-200]
    (tmp_path / "raw" / "three.jsonl.zst").write_bytes(cut)
    second = run(line)
    assert second.returncode == 2
    assert "0 new files" in second.stdout and "three.jsonl.zst (status 2)" in second.stdout
    assert not (tmp_path / "out" / "three.jsonl.zst").exists()
    (tmp_path / "raw" / "three.jsonl.zst").unlink()
    busy = run(f"flock out/lock sh -c \"'{ROOT}/examples/cron.sh' raw out\"")
    assert busy.returncode == 0 and "earlier run still works" in busy.stdout


def test_distill_teaches_in_two_stages_and_a_second_run_skips_them(
    tmp_path: Path, twin: Path
) -> None:
    """The teachers' responses are there already, as after an interruption: the twin has no right ones."""
    run = shell(tmp_path)
    made = run(
        "qvl tiny data data --train 16 --test 4 --tasks add --defect-share 0 && "
        "qvl tiny model big --size s && mkdir out"
    )
    assert made.returncode == 0, made.stderr
    records = list(jsonl.read(str(tmp_path / "data/raw.jsonl.zst")))
    for number in (1, 2):
        sampled = [
            {**each, "responses": [{"content": each["messages"][-1]["content"]}]}
            for each in records
        ]
        jsonl.write(sampled, str(tmp_path / f"out/sampled-{number}.jsonl.zst"))
    data = "data/raw.jsonl.zst data/test.jsonl.zst data/raw.jsonl.zst"
    line = f"'{ROOT}/examples/distill.sh' out {twin} {data} big@3 {twin}@1"
    given = {"CONTEXT": "1k", "OFF_BATCH": "1", "OFF_STEPS": "1", "BATCH": "4", "STEPS": "1"}
    given |= {"MAX_TOKENS": "8", "OMP_NUM_THREADS": "1"}
    first = run(line, **given)
    assert first.returncode == 0, first.stderr
    mixed = run("qvl cat --plain out/responses.jsonl.zst").stdout.splitlines()
    assert len(records) < len(mixed) < 2 * len(records)  # of the second teacher, a part
    log = map(orjson.loads, (tmp_path / "out/on-policy/log.jsonl").read_bytes().splitlines())
    (row,) = (each for each in log if "divergence" in each)
    assert row["divergence"] > 0 and row["replay_loss"] > 0
    files = times(tmp_path / "out")
    again = run(line, **given)
    assert again.returncode == 0, again.stderr
    assert files == times(tmp_path / "out")


def test_a_stage_is_evaluated_at_one_server_and_a_second_run_skips_everything(
    tmp_path: Path, twin: Path
) -> None:
    run = shell(tmp_path)
    made = run(
        "qvl tiny data data --tasks digit,habits --train 4 --test 6 --defect-share 0 && mv data/images . &&"
        " qvl select 'task == \"math\"' data/test.jsonl.zst -o habits-questions.jsonl.zst &&"
        " qvl cat data/test.jsonl.zst -o questions.jsonl.zst && cp questions.jsonl.zst few.jsonl.zst"
    )
    assert made.returncode == 0, made.stderr
    line = f"qvl serve {twin} --port 0 -- '{ROOT}/examples/evaluate.sh' base {twin} data/test.jsonl.zst"
    given = {"MAX_TOKENS": "4", "OMP_NUM_THREADS": "1"}
    first = run(line, **given)
    assert first.returncode == 0, first.stderr
    files = times(tmp_path / "scores")
    reports = {"base.json", "base-habits.json", "base-data.json"}
    assert reports < {file.name for file in files}
    assert list(jsonl.read(str(tmp_path / "scores/base-parity.jsonl.zst")))
    again = run(line, **given)
    assert again.returncode == 0, again.stderr
    assert files == times(tmp_path / "scores")


def test_an_evaluation_tells_what_is_not_there_before_it_asks(tmp_path: Path) -> None:
    for name in ("questions", "habits-questions", "few"):
        (tmp_path / f"{name}.jsonl.zst").touch()
    (tmp_path / "config.json").touch()
    nobody = {"QVL_ENDPOINT": "http://127.0.0.1:9"}
    done = shell(tmp_path)(f"'{ROOT}/examples/evaluate.sh' base . more/test.jsonl.zst", **nobody)
    assert (done.returncode, done.stderr) == (2, "more/test.jsonl.zst: no such file\n")


@pytest.mark.parametrize("name", ["recipe.sh", "qwen3-vl.sh"])
def test_a_run_with_another_seed_leaves_a_folder_alone(tmp_path: Path, name: str) -> None:
    run = shell(tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/seed").write_text("1\n")
    done = run(f"'{ROOT}/examples/{name}' made", SEED="2")
    assert done.returncode == 2
    assert done.stderr == "made has files of SEED=1: give another FOLDER\n"
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["seed"]


@pytest.mark.parametrize("name", ["recipe.sh", "qwen3-vl.sh"])
def test_a_script_without_qvl_says_how_to_find_it(tmp_path: Path, name: str) -> None:
    done = shell(tmp_path)(f"'{ROOT}/examples/{name}' made", PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert done.stderr.startswith("qvl is not on the PATH: run make setup, then PATH=")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("distill.sh out nope q.jsonl h.jsonl r.jsonl t", "nope/config.json"),
        ("distill.sh out {twin} {file} {file} {file} {twin} nope@2", "nope"),
        ("distill-twin.sh nope out", "nope/thinker/config.json"),
        ("agent.sh nope out", "nope/config.json"),
        ("rl.sh out nope {file} {file}", "nope/config.json"),
        ("rl.sh out {twin} {file} {file} nope", "nope"),
        ("sft-data.sh out {file} nope", "nope/config.json"),
        ("cold-start.sh out nope", "nope"),
        ("rl-data.sh out nope", "nope"),
    ],
)
def test_what_is_not_there_is_told_before_any_work(
    tmp_path: Path, twin: Path, words: str, missing: str
) -> None:
    given = words.format(twin=twin, file=twin / "config.json")
    done = shell(tmp_path)(f"'{ROOT}/examples/'{given}")
    assert (done.returncode, done.stderr) == (2, f"{missing}: no such file\n")
    assert not (tmp_path / "out").exists()
