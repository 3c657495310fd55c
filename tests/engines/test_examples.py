"""The examples in help texts that need a model run unchanged, on the twin and its held-out set."""

import re

import pytest
from shells import shell

from qvl.io import jsonl
from qvl.tiny import data


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("examples")
    (made / "twin").symlink_to(twin)
    data.write(made, data.DataPlan(train=20, test=20))
    return made


def examples(command_module):
    helps = (
        command_module(name).command.__doc__
        for name in ("serve", "generate", "filter-vision", "eval", "agent-rollout", "agent-budget")
    )
    return [line for text in helps for line in re.findall(r"^ *\$ (.+)$", text, re.M)]


def test_the_examples_run(command_module, folder, served):
    lines = examples(command_module)
    assert len(lines) == 12
    for line in lines:  # those of `qvl generate` alone use the endpoint in the environment
        done = shell(folder)(line, OMP_NUM_THREADS="1", QVL_ENDPOINT=served.url)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    scored = list(jsonl.read(str(folder / "scored.jsonl.zst")))
    assert len(scored) == 20
    assert all(0 <= each["responses"][0]["reward"] <= 1 for each in scored)
    sampled = list(jsonl.read(str(folder / "sampled.jsonl.zst")))
    assert [len(each["responses"]) for each in sampled] == [4] * 20
