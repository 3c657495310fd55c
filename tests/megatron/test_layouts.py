"""However ranks share the model, a step is that of transformers, and its weights come back whole."""

import checkpoints
import pytest
from test_equals_transformers import one_step, reference_step

LINES = [checkpoints.pack(seed, images=seed != 2) for seed in range(1, 5)]
EXPECTED: dict = {}


def expected(folders, kind):
    if kind not in EXPECTED:
        EXPECTED[kind] = reference_step(folders[kind], LINES)
    return EXPECTED[kind]


def check_step(ranks, folders, kind, count, layout, overlap=False, again=False):
    results = ranks(count, one_step, folders[kind], LINES, (), layout, overlap, again)
    loss, norm, after = expected(folders, kind)
    for ours, grad_norm, tensors in results:
        assert ours == pytest.approx(loss, rel=1e-6)
        assert grad_norm == pytest.approx(norm, rel=1e-5)
        assert set(tensors) >= {name for name in after if name != "lm_head.weight"}
        for name, tensor in tensors.items():
            assert (tensor - after[name]).abs().max() < 1e-6, name


@pytest.mark.parametrize("kind", ["tied", "untied"])
@pytest.mark.parametrize("layout", ["tp=2", "tp=2,sp=0"])
def test_a_step_under_tensor_parallelism_equals_transformers(ranks, folders, kind, layout):
    check_step(ranks, folders, kind, 2, layout)


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_a_step_in_two_pipeline_stages_equals_transformers(ranks, folders, kind):
    check_step(ranks, folders, kind, 2, "pp=2")


def test_a_step_with_experts_on_two_ranks_equals_transformers(ranks, folders):
    check_step(ranks, folders, "moe", 2, "ep=2")


@pytest.mark.parametrize("kind", ["tied", "moe"])
def test_a_step_with_tokens_shared_by_two_ranks_equals_transformers(ranks, folders, kind):
    check_step(ranks, folders, kind, 2, "cp=2")


@pytest.mark.parametrize(
    ("count", "kind", "layout"),
    [
        (4, "tied", "tp=2,cp=2"),
        (4, "untied", "pp=2,cp=2"),
        (4, "moe", "tp=2,ep=2,pp=2"),
        (8, "tied", "tp=2,pp=2,cp=2"),
    ],
)
def test_layouts_combine(ranks, folders, count, kind, layout):
    check_step(ranks, folders, kind, count, layout)


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_a_step_in_interleaved_stages_equals_transformers(ranks, folders, kind):
    check_step(ranks, folders, kind, 2, "pp=2,vp=2")


@pytest.mark.parametrize(
    ("kind", "layout", "overlap"),
    [("tied", "", True), ("moe", "cp=2", False), ("tied", "pp=2", False)],
)
def test_activations_that_are_computed_again_are_the_same(ranks, folders, kind, layout, overlap):
    check_step(ranks, folders, kind, 2, layout, overlap=overlap, again=True)


@pytest.mark.parametrize("layout", ["pp=2", "pp=3"])
def test_stages_need_not_be_alike(ranks, tmp_path, layout):
    folder = checkpoints.write_checkpoint(tmp_path, moe=False, tied=True, layers=3)
    folders = {layout: folder}
    EXPECTED[layout] = reference_step(folder, LINES)
    check_step(ranks, folders, layout, int(layout[-1]), layout)
