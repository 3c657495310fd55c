"""`qvl rl sapo` as users run it: the twin with random weights, an engine, and a reward that half of its
responses get."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from served import BIN, Served
from shells import shell

from qvl.io import jsonl
from qvl.jobs import rl
from qvl.rollout.settings import PolicySettings, RewardSettings, SamplingSettings
from qvl.settings import Checkpointing, Logging, ModelSettings, Optimization
from qvl.tiny import data, model

RUN = (
    "qvl rl sapo --model twin --verifier own_rewards:even -n 4 --batch 4 --max-tokens 6 "
    "--lr 1e-3 --save-every 1 rl.jsonl.zst"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("rl")
    (made / "twin").symlink_to(twin)
    plan = data.DataPlan(names=["digit", "add"], train=16, test=4, defect_share=0)
    data.write(made, plan)
    records = list(jsonl.read(str(made / "raw.jsonl.zst")))
    jsonl.write(records, str(made / "rl.jsonl.zst"))
    return made


# TEST_KILLS=20 kills as often; each process in turn.
KILLS = int(os.environ.get("TEST_KILLS", "3"))
VICTIMS = ("trainer", "engine", "sampler")


@contextlib.contextmanager
def an_engine(folder):
    # One row at a time: the last bits of a log-prob depend on the rows beside it.
    server = Served(folder / "twin", "--port", 0, "--media-root", folder, "--max-batch", 1)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)


@pytest.fixture(scope="module")
def engine(folder):
    with an_engine(folder) as server:
        yield server


def children(pid):
    """The processes that a process has started."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def environment(engine=None):
    tests = str(Path(__file__).parent.parent)
    found = {"OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    return found | ({"QVL_ENDPOINT": engine.url} if engine else {})


def run(folder, engine, line):
    done = shell(folder)(line, **environment(engine))
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done


def steps(folder, output):
    return [list(jsonl.read(str(p))) for p in sorted((folder / output / "rollouts").glob("*.zst"))]


def rows(folder, output):
    lines = (folder / output / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "reward" in row]


@pytest.fixture(scope="module")
def whole(folder, engine):
    """A run of three steps, evaluated."""
    run(folder, engine, f"{RUN} --steps 3 -o whole --eval test.jsonl.zst --eval-every 3")
    return folder / "whole"


def test_a_run_learns_from_what_the_engine_sampled(folder, whole):
    before, after = (
        load_file(folder / "twin/model.safetensors"),
        load_file(whole / "model.safetensors"),
    )
    name = "model.language_model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(before[name], after[name])
    first, second, third = steps(folder, "whole")
    for number, records in enumerate((first, second, third), 1):
        assert len(records) == 4
        for record in records:
            assert record["rollout"]["step"] == number
            assert len(record["responses"]) == 4
            for response in record["responses"]:
                version = "default" if number == 1 else f"step-{number - 1:06d}"
                assert response["weight_versions"] == [[version, 0, len(response["token_ids"])]]
                assert response["reward"] in (0, 1)
                if response["advantage"]:
                    ours, theirs = response["trainer_logprobs"], response["logprobs"]
                    assert ours == pytest.approx(theirs, abs=1e-4)


def test_the_log_has_the_figures_of_each_step(folder, whole):
    found = rows(folder, "whole")
    assert [row["step"] for row in found] == [1, 2, 3]
    settings = json.loads((whole / "rl.json").read_text())
    assert settings["threads"] == 1  # as in `qvl sft`: the twin is small
    for row in found:
        assert row["gap"] < 1e-4
        assert row["ratio"] == pytest.approx(1.0, abs=0.2)
        assert {"rate/language", "rate/repetition", "rate/format"} <= row.keys()
        assert {"teaching_groups", "entropy", "gate", "grad_norm", "sample_seconds"} <= row.keys()
    evaluations = [
        row["step"]
        for row in map(json.loads, (whole / "log.jsonl").read_text().splitlines())
        if "evaluation" in row
    ]
    assert evaluations == [0, 3]
    assert shell(folder)("qvl rl potential --log whole/log.jsonl -o potential.zst").returncode == 0


def test_stored_steps_train_without_an_engine_to_the_same_weights(folder, whole):
    run(
        folder,
        None,
        "qvl rl sapo --model twin -o stored --lr 1e-3 --media-root . --rollouts whole/rollouts/step-000001.jsonl.zst",
    )
    one = rows(folder, "stored")[0]
    assert one["loss"] == pytest.approx(rows(folder, "whole")[0]["loss"], abs=1e-6)
    assert one["drift"] == pytest.approx(rows(folder, "whole")[0]["gap"], abs=1e-6)


def rank_of(folder, kind, output, layout, loss):
    """One rank of a run on a stored step."""
    os.chdir(folder)
    settings = rl.RlSettings(
        model=ModelSettings(model=kind, layout=layout),
        sampling=SamplingSettings(
            model=kind, queries=(), output=output, endpoint="", media_root="."
        ),
        rewards=RewardSettings(),
        policy=PolicySettings(
            loss=loss, pack_tokens=64, stored=("whole/rollouts/step-000001.jsonl.zst",)
        ),
        # With a smaller eps, a gradient of rounding errors alone would move a weight by lr.
        optimization=Optimization(lr=1e-3, eps=1e-3, schedule="constant"),
        checkpointing=Checkpointing(output=output),
        logging=Logging(log_every=1),
    )
    rl.run(settings, lambda row: None, lambda: False)


@pytest.fixture(scope="module")
def moe(folder):
    (folder / "moe").mkdir()
    model.write(folder / "moe", "xxs", moe=True, thinking=False, seed=0)
    return folder / "moe"


@pytest.mark.parametrize(
    ("count", "kind", "layout", "loss"),
    [
        (2, "twin", "", "sapo"),
        (2, "twin", "pp=2", "sapo"),
        (2, "twin", "cp=2", "sapo"),
        (2, "twin", "cp=2", "gspo"),  # the one whose sums run over the ranks of a response
        (2, "moe", "ep=2", "sapo"),
        (4, "twin", "tp=2,cp=2", "sapo"),
    ],
)
def test_a_step_is_the_same_at_every_layout(folder, whole, moe, ranks, count, kind, layout, loss):
    alone, shared = f"alone-{kind}-{loss}", f"shared-{kind}-{layout.replace(',', '-')}-{loss}"
    if not (folder / alone).exists():
        ranks(1, rank_of, folder, kind, alone, "", loss)
    ranks(count, rank_of, folder, kind, shared, layout, loss)
    one, other = rows(folder, alone)[0], rows(folder, shared)[0]
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert other["ratio_spread"] == pytest.approx(one["ratio_spread"], abs=1e-5)
    ours = load_file(folder / shared / "model.safetensors")
    for name, tensor in load_file(folder / alone / "model.safetensors").items():
        assert (tensor - ours[name]).abs().max() < 1e-6, name


@pytest.mark.parametrize("victim", [(VICTIMS[n % 3], n) for n in range(KILLS)])
def test_a_run_that_was_killed_continues_to_the_same_bytes(folder, whole, victim):
    """At a moment drawn in steps and then in milliseconds."""
    name, number = victim
    draw, output = random.Random(number), f"killed-{number}"
    words = f"{RUN} --steps 3 -o {output} --resume".split()
    with an_engine(folder) as engine:
        env = {**os.environ, **environment(engine)}
        process = subprocess.Popen(
            [BIN / words[0], *words[1:]], cwd=folder, env=env, stderr=subprocess.PIPE
        )
        part = folder / output / f"rollouts/step-{draw.randint(1, 3):06d}.jsonl.zst"
        until = time.monotonic() + 100
        while not part.exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(draw.random())
        killed = engine.process.pid if name == "engine" else process.pid
        if name == "sampler":
            killed = next(iter(children(process.pid)), process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed, signal.SIGKILL)
        status = process.wait(100)
        errors = process.communicate()[1].decode()
        assert status in {"trainer": (-9, 0), "sampler": (1, 4, 0), "engine": (4, 0)}[name], errors
    with an_engine(folder) as engine:
        run(folder, engine, " ".join(words))
    assert steps(folder, output) == steps(folder, "whole")
    ours, theirs = (load_file(folder / each / "model.safetensors") for each in (output, "whole"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_run_that_ended_goes_on_for_more_steps_to_the_same_bytes(folder, engine, whole):
    line = f"{RUN} --resume -o grown --steps"
    run(folder, engine, f"{line} 1")
    done = run(folder, engine, f"{line} 3")
    assert "step 3 of 3" in done.stderr and "step 1 of" not in done.stderr
    assert steps(folder, "grown") == steps(folder, "whole")
    ours, theirs = (load_file(folder / each / "model.safetensors") for each in ("grown", "whole"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    for wanted in (3, 2):
        assert (
            "grown is finished"
            in run(folder, None, f"{line} {wanted} --endpoint http://none").stderr
        )


def test_a_run_that_grows_is_not_finished_until_it_has_all_steps(folder, engine):
    line = f"{RUN} --resume -o growing"
    run(folder, engine, f"{line} --steps 1")
    crashing = line.replace("own_rewards:even", "own_rewards:none_for_short")
    done = shell(folder)(f"{crashing} --steps 2", **environment(engine))
    assert done.returncode == 3, done.stderr
    assert not (folder / "growing/config.json").exists()
    run(folder, engine, f"{line} --steps 2")
    assert (folder / "growing/config.json").exists()


@pytest.mark.parametrize(
    ("saved", "words", "message"),
    [
        (1, "--lr 1e-4", "belongs to a run with --lr 0.001, not 0.0001"),
        (1, "--seed 5", "belongs to a run with seed 0, not 5"),
        (0, "-n 2", "belongs to a run with num_samples 4, not 2"),  # of which it has the samples
    ],
)
def test_another_run_is_not_continued(folder, engine, saved, words, message):
    name = f"other-{saved}{words.split()[0]}"
    line = f"{RUN} --save-every {saved} --resume -o {name}"
    run(folder, engine, f"{line} --steps 1")
    done = shell(folder)(f"{line} --steps 2 {words}", **environment(engine))
    assert done.returncode == 2 and message in done.stderr, done.stderr


def test_a_step_of_stale_samples_is_learnt_again_with_the_same_ratios(folder, engine):
    """As if killed after the last checkpoint."""
    line = f"{RUN} --steps 3 --max-staleness 1 --save-every 2 --resume -o stale"
    run(folder, engine, line)
    before, learned = load_file(folder / "stale/model.safetensors"), steps(folder, "stale")
    shutil.rmtree(folder / "stale/checkpoints/step-0000003")
    (folder / "stale/config.json").unlink()
    done = run(folder, engine, line)
    assert "step 3 of 3" in done.stderr and "step 2 of" not in done.stderr
    assert steps(folder, "stale") == learned
    kept = [
        {"trainer_logprobs" in each for record in records for each in record["responses"]}
        for records in learned
    ]
    assert True in kept[0] and kept[1:] == [{False}] * 2  # of no use where other weights sampled
    assert all(row["drift"] > 0 for row in rows(folder, "stale")[1:])
    after = load_file(folder / "stale/model.safetensors")
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_examples_run_one_after_the_other(command_module, folder):
    """With random weights no group teaches: the steps are taken without an optimizer step."""
    for line in re.findall(r"^ *\$ (.+)$", command_module("rl sapo").command.__doc__, re.M):
        more = " --media-root ." if "--rollouts" in line else ""
        run(folder, None, line + more)
    before, after = (load_file(folder / x / "model.safetensors") for x in ("twin", "again"))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_samples_alone_are_files_of_steps(folder, engine, whole):
    done = run(folder, engine, f"{RUN} --steps 1 --rollouts-only -o sampled")
    assert "step 1, reward" in done.stderr
    (first,), (same, *_) = steps(folder, "sampled"), steps(folder, "whole")
    changing = {"trainer_logprobs", "trainer_version", "logprobs", "weight_versions"}
    for one, other in zip(first, same, strict=True):
        for response, twin in zip(one["responses"], other["responses"], strict=True):
            assert without(response, changing) == without(twin, changing)


def without(response, names):
    return {name: value for name, value in response.items() if name not in names}


def test_responses_without_verdict_teach_nothing_and_too_many_end_the_run(folder, engine):
    line = RUN.replace("own_rewards:even", "own_rewards:none_for_short")
    run(folder, engine, f"{line} --steps 1 --max-error-rate 0.9 -o some")
    (records,) = steps(folder, "some")
    for record in records:
        for response in record["responses"]:
            assert (response["advantage"] is None) == (response["reward"] is None)
    assert rows(folder, "some")[0]["no_verdict"] > 0
    done = shell(folder)(f"{line} --steps 1 -o none", **environment(engine))
    assert done.returncode == 3
    assert "over --max-error-rate" in done.stderr


def test_an_engine_with_other_weights_ends_the_run_before_it_learns(folder):
    other = folder / "other"
    other.mkdir()
    model.write(other, "xs", moe=False, thinking=False, seed=1)
    line = RUN.replace("--model twin", "--model other")
    with an_engine(folder) as engine:
        done = shell(folder)(f"{line} --steps 1 -o wrong", **environment(engine))
    assert done.returncode == 3
    assert "engine and trainer differ by" in done.stderr
    assert not (folder / "wrong/config.json").exists()
