"""`qvl pack`, `qvl sft` and `qvl export` as users run them: on the twin, with two ranks."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from shells import shell

from qvl.io import jsonl
from qvl.tiny import data


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("training")
    (made / "twin").symlink_to(twin)
    plan = data.DataPlan(names=["digit", "add"], train=160, test=2, defect_share=0)
    data.write(made, plan)
    line = "qvl pack --model twin --context 512 raw.jsonl.zst -o packed.jsonl.zst"
    assert shell(made)(line).returncode == 0
    return made


@pytest.fixture(scope="module")
def run(folder):
    """A line in the folder, which must succeed."""

    def run(line):
        done = shell(folder)(line, OMP_NUM_THREADS="1")
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="module")
def long(folder, run):
    """The same records in longer packs."""
    run("qvl pack --model twin --context 1k raw.jsonl.zst -o long.jsonl.zst")
    return folder / "long.jsonl.zst"


@pytest.fixture(scope="module")
def train(ranks, folder):
    """`qvl sft` in the folder, which must succeed: its ranks are forked from the warm server, which
    spares the seconds that each would need to import Megatron. What starts, ends and tells ranks is
    tested through `run`."""

    def train(line, count=1):
        ranks(count, rank_of, folder, line)

    return train


def rank_of(folder, line):
    """One rank of a line."""
    os.chdir(folder)
    sys.argv = line.split()
    main = importlib.import_module("qvl.cli.main")
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code


def examples(command_module, name):
    return re.findall(r"^ *\$ (.+)$", command_module(name).command.__doc__, re.M)


def test_the_examples_run_one_after_the_other(command_module, run, folder):
    for line in examples(command_module, "pack"):
        run(line)
    run("qvl pack --model twin --context 512 raw.jsonl.zst -o packed.jsonl.zst")
    for name in ("sft", "export", "import"):
        for line in examples(command_module, name):
            run(line)
    before, early, after = (
        load_file(folder / name / "model.safetensors") for name in ("twin", "early", "tuned")
    )
    assert list(before) == list(early) == list(after)
    name = "model.language_model.layers.0.mlp.down_proj.weight"
    assert not before[name].equal(early[name]) and not early[name].equal(after[name])


def test_transformers_loads_what_is_trained(folder):
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    load: Any = AutoModelForImageTextToText.from_pretrained
    _, notes = load(folder / "tuned", output_loading_info=True)
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    assert len(AutoTokenizer.from_pretrained(folder / "tuned")) > 0


def test_the_log_has_the_settings_and_falling_losses(train, folder):
    train(
        "qvl sft --model twin -o fall --steps 30 --batch 2 --lr 2e-3 --log-every 10 packed.jsonl.zst "
        "--validation packed.jsonl.zst --validate-every 15"
    )
    first, *every = jsonl.read(str(folder / "fall/log.jsonl"))
    rows = [row for row in every if "loss" in row]
    measured = {row["step"]: row["evaluation"]["loss"] for row in every if "evaluation" in row}
    assert list(measured) == [15, 30] and measured[30] < measured[15] < rows[0]["loss"]
    assert first["settings"]["steps"] == 30
    assert first["settings"]["threads"] == 1
    assert [row["step"] for row in rows] == [1, 10, 20, 30]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2


def test_a_terminated_run_goes_on_and_ends_with_the_same_bits(run, train, folder):
    line = "qvl sft --model twin --nproc 2 --steps 24 --batch 2 --lr 1e-3 --log-every 1"
    train(f"{line} -o whole packed.jsonl.zst", 2)
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} -o cut packed.jsonl.zst"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    while "step 3 of" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "continue with --resume" in errors and "Traceback" not in errors
    assert not (folder / "cut/config.json").exists()
    run(f"{line} -o cut --resume packed.jsonl.zst")
    assert "cut is finished" in run(f"{line} -o cut --resume packed.jsonl.zst").stderr
    whole, cut = (load_file(folder / name / "model.safetensors") for name in ("whole", "cut"))
    for name, tensor in whole.items():
        assert tensor.equal(cut[name]), name


def test_a_killed_run_goes_on_and_its_log_is_that_of_a_whole_one(train, folder):
    line = "qvl sft --model twin --steps 20 --batch 2 --lr 1e-3 --log-every 1 --save-every 4"
    train(f"{line} -o unhurt packed.jsonl.zst")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} -o killed packed.jsonl.zst"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    while "step 11 of" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=20)  # ends when no process is left that could write there
    train(f"{line} -o killed --resume packed.jsonl.zst")
    logs = [
        [(row["step"], row["loss"], row["lr"]) for row in jsonl.read(str(path)) if "loss" in row]
        for path in (folder / "unhurt/log.jsonl", folder / "killed/log.jsonl")
    ]
    assert [step for step, *_ in logs[0]] == list(range(1, 21))
    assert logs[0] == logs[1]
    whole, killed = (
        load_file(folder / name / "model.safetensors") for name in ("unhurt", "killed")
    )
    assert all(tensor.equal(killed[name]) for name, tensor in whole.items())


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(run, train, folder):
    line = "qvl sft --model twin --steps 6 --batch 2 --lr 1e-3 --save-every 2 -o hurt"
    train(f"{line} packed.jsonl.zst")
    last = folder / "hurt/checkpoints/step-0000006"
    expected = load_file(folder / "hurt/model.safetensors")
    (damaged,) = (last / "optimizer").glob("*.safetensors")
    content = bytearray(damaged.read_bytes())
    content[4096:4160] = bytes(64)
    damaged.write_bytes(content)
    for name in ("model.safetensors", "config.json"):  # the last checkpoint is there before them
        (folder / "hurt" / name).unlink()
    said = run(f"{line} --resume packed.jsonl.zst").stderr
    assert f"{last.relative_to(folder)}: not used: {damaged.name} is damaged" in said
    again = load_file(folder / "hurt/model.safetensors")
    assert all(tensor.equal(again[name]) for name, tensor in expected.items())


def test_a_run_whose_export_failed_ends_with_its_last_checkpoint(run, train, folder):
    line = "qvl sft --model twin --steps 3 --batch 2 --save-every 2 -o unwritten packed.jsonl.zst"
    train(line)
    expected = (folder / "unwritten/model.safetensors").read_bytes()
    for name in ("model.safetensors", "config.json"):
        (folder / "unwritten" / name).unlink()
    assert "step " not in run(f"{line} --resume").stderr.replace("3 steps", "")
    assert (folder / "unwritten/model.safetensors").read_bytes() == expected


def test_a_run_goes_on_at_another_layout(train, folder):
    line = "qvl sft --model twin --steps 12 --batch 2 --lr 1e-3 --log-every 1 --save-every 5"
    train(f"{line} -o alone packed.jsonl.zst")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} --nproc 2 --layout tp=2 -o moved packed.jsonl.zst"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    while "step 6 of" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    train(f"{line} --layout pp=2 -o moved --resume packed.jsonl.zst", 2)
    alone, moved = (
        [row["loss"] for row in jsonl.read(str(folder / name / "log.jsonl")) if "loss" in row]
        for name in ("alone", "moved")
    )
    assert moved == pytest.approx(alone, rel=1e-4)


def test_interleaved_stages_train_as_one_process_does(run, train, folder):
    run("qvl tiny model deep --size xxs --layers 6")  # stages of 3, 1, 1 and 1 of them
    line = "qvl sft --model deep --steps 3 --batch 2 --lr 1e-3 --log-every 1 packed.jsonl.zst"
    train(f"{line} -o plain")
    train(f"{line} -o interleaved --layout pp=2,vp=2", 2)
    plain, interleaved = (
        [
            (row["loss"], row["grad_norm"])
            for row in jsonl.read(str(folder / name / "log.jsonl"))
            if "loss" in row
        ]
        for name in ("plain", "interleaved")
    )
    for ours, expected in zip(interleaved, plain, strict=True):
        assert ours == pytest.approx(expected, rel=1e-4)
    whole, cut = (
        load_file(folder / name / "model.safetensors") for name in ("plain", "interleaved")
    )
    assert list(whole) == list(cut)
    before = load_file(folder / "deep/model.safetensors")
    for name, tensor in whole.items():
        assert (tensor - cut[name]).abs().max() < 1e-4, name
        assert "layers." not in name or not tensor.equal(before[name]), name


def test_experts_are_balanced_by_the_coefficient_of_their_checkpoint(run, train, folder):
    run("qvl tiny model --moe experts")
    line = "qvl sft --model experts --steps 2 --batch 2 --log-every 1 packed.jsonl.zst"
    for name, more in (("balanced", "--overlap"), ("as-they-are", "--moe-aux-loss 0")):
        train(f"{line} -o {name} {more}")
    balanced, alone = (
        [row for row in jsonl.read(str(folder / name / "log.jsonl")) if "loss" in row]
        for name in ("balanced", "as-they-are")
    )
    assert all(0.9 < row["moe_aux_loss"] < 3 for row in balanced)
    assert not any("moe_aux_loss" in row for row in alone)
    assert all(1 <= row["expert_imbalance"] <= 4 for row in (*balanced, *alone))
    assert balanced[0]["loss"] == alone[0]["loss"]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_record(train, folder):
    lines = list(jsonl.read(str(folder / "packed.jsonl.zst")))
    for line in lines:
        for place, record in enumerate(line["records"]):
            if record == lines[0]["records"][1]:
                bad = sum(line["lengths"][:place]), sum(line["lengths"][: place + 1])
                line["loss_weights"] = [
                    [start, end, 1e39 if bad[0] <= start < bad[1] else weight]
                    for start, end, weight in line["loss_weights"]
                ]
    jsonl.write(lines, str(folder / "corrupted.jsonl.zst"))
    line = "qvl sft --model twin --steps 20 --batch 2 --lr 1e-3 -o corrupted corrupted.jsonl.zst"
    done = shell(folder)(line, OMP_NUM_THREADS="1")
    assert done.returncode == 3, done.stderr
    assert "was not taken: the loss is" in done.stderr and "Traceback" not in done.stderr
    assert "--resume --on-spike skip" in done.stderr
    train(f"{line} --resume --on-spike skip")
    rejected = [row for row in jsonl.read(str(folder / "corrupted/log.jsonl")) if "rejected" in row]
    assert rejected and all(row["records"] for row in rejected)


def test_records_are_packed_on_the_way_and_only_once(run, folder):
    line = "qvl sft --model twin --context 512 --steps 2 --batch 2 -o direct raw.jsonl.zst"
    assert "qvl pack:" in run(line).stderr
    (packed,) = (folder / "direct").glob("packed-512-*.zst")
    (folder / "direct/config.json").unlink()
    assert "qvl pack:" not in run(f"{line} --resume").stderr
    assert packed.exists()


def test_a_batch_that_is_larger_than_the_data_is_told(run, folder):
    (folder / "one.jsonl").write_text(
        '{"id":"a","messages":[{"role":"user","content":"hi"},'
        '{"role":"assistant","content":"ho"}]}\n'
    )
    done = run("qvl sft --model twin --context 64 --steps 1 --batch 2 -o small one.jsonl")
    assert "--batch 2 is larger than the data, 1 packs" in done.stderr
    assert "the model after 1 step; 1 pack, each seen 2 times" in done.stderr


def test_the_last_line_counts_the_packs_between_apart(capsys):
    importlib.import_module("qvl.cli.sft")._say_end("out", 10, 2, 5, 0.5)
    assert "5 packs, each seen 2 times, and 10 packs between them" in capsys.readouterr().err


def test_packs_of_another_file_come_between(train, folder, long):
    train(
        "qvl sft --model twin --epochs 1 --batch 2 --recompute --schedule wsd --tensorboard -o two "
        "--interleave packed.jsonl.zst --interleave-share 0.5 long.jsonl.zst"
    )
    first, *_ = jsonl.read(str(folder / "two/log.jsonl"))
    count = sum(1 for _ in jsonl.read(str(long)))
    assert first["settings"]["steps"] == count  # as many short packs as long ones, two a step
    assert list((folder / "two/tensorboard").iterdir())


def test_the_first_file_of_a_curriculum_is_trained_on_alone_until_it_ends(train, folder, long):
    count = sum(1 for _ in jsonl.read(str(folder / "packed.jsonl.zst")))
    line = f"qvl sft --model twin --batch 1 --schedule constant --steps {count}"
    train(f"{line} -o first-alone packed.jsonl.zst")
    train(f"{line} -o in-stages --curriculum packed.jsonl.zst long.jsonl.zst")
    train(f"{line} -o all-mixed packed.jsonl.zst long.jsonl.zst")
    alone, stages, mixed = (
        load_file(folder / name / "model.safetensors")
        for name in ("first-alone", "in-stages", "all-mixed")
    )
    assert all(stages[name].equal(weight) for name, weight in alone.items())
    assert not all(mixed[name].equal(weight) for name, weight in alone.items())


def test_the_files_of_a_curriculum_are_packed_one_by_one(run, folder):
    line = "qvl sft --model twin --context 512 --curriculum --batch 2 --resume -o by-file"
    run("qvl select 'task == \"math\"' raw.jsonl.zst -o few.jsonl.zst")
    run(f"{line} few.jsonl.zst raw.jsonl.zst")
    packed = (folder / "by-file").glob("packed-512-*.jsonl.zst")
    counts = [sum(1 for _ in jsonl.read(str(path))) for path in packed]
    first, *_ = jsonl.read(str(folder / "by-file/log.jsonl"))
    assert len(counts) == 2
    assert first["settings"]["packs"] == sum(counts)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_gone_is_named_with_its_record(folder, tmp_path, workers):
    """And not with the others of its pack."""
    packs = jsonl.read(str(folder / "packed.jsonl.zst"))
    line = next(each for each in packs if len(each["images"]) > 1)
    jsonl.write([line], str(tmp_path / "one.jsonl.zst"))
    lost = line["images"][1]
    for name in line["images"]:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        if name != lost:
            shutil.copy(folder / name, tmp_path / name)
    records = jsonl.read(str(folder / "raw.jsonl.zst"))
    owner = next(each["id"] for each in records if lost in json.dumps(each))
    words = f"--model {folder / 'twin'} -o x --batch 1 --workers {workers} one.jsonl.zst"
    done = shell(tmp_path)(f"qvl sft {words}", OMP_NUM_THREADS="1")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"qvl: error: record {owner!r}: image ")
    assert lost in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model nothing -o x packed.jsonl.zst", "nothing: no such folder"),
        ("--model twin -o x gone.zst", "gone.zst: no such file"),
        ("--model twin -o tuned packed.jsonl.zst", "holds a run; continue it with --resume"),
        ("--model twin -o x --freeze eyes packed.jsonl.zst", "expected vision, merger or language"),
        (
            "--model twin -o x raw.jsonl.zst",
            "not a packed line; pack with qvl pack, or say --context",
        ),
        ("--model twin -o x --set layers=2 packed.jsonl.zst", "did you mean 'num_layers'"),
        ("--model twin -o x --set hidden_size=x packed.jsonl.zst", "of type int"),
        ("--model twin -o x --batch 0 packed.jsonl.zst", "0 is not in the range x>=1"),
        ("--model twin -o x --epochs 0 packed.jsonl.zst", "expected a number above 0"),
    ],
)
def test_what_a_user_must_correct_is_one_line_and_status_2(folder, words, message):
    done = shell(folder)(f"qvl sft {words}", OMP_NUM_THREADS="1")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
