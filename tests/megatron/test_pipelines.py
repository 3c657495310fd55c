"""Messages between stages as NCCL needs them: a group is primed, and shapes go the way of tensors.

gloo takes batches of messages too, so that the way of NCCL runs here.
"""

import checkpoints
import pytest
from test_equals_transformers import STEP, reference_step

from qvl.errors import UserError
from qvl.megatron import parallel

LINES = [checkpoints.pack(seed, images=seed != 2) for seed in range(1, 5)]


def step_by_batches(folder, layout):
    """A step whose messages go as batches: its loss and weights, and the calls of the stages' group
    in their order."""
    import torch
    import torch.distributed as dist
    from megatron.core import parallel_state
    from megatron.core.pipeline_parallel import p2p_communication

    from qvl.megatron import training, weights
    from qvl.model.folder import Folder
    from qvl.model.layout import parse_layout
    from qvl.model.shape import load_shape

    calls = []

    def note(owner, name, group_of):
        function = getattr(owner, name)

        def call(*args, **kwargs):
            calls.append((name, group_of(args, kwargs)))
            return function(*args, **kwargs)

        setattr(owner, name, call)

    note(dist, "all_reduce", lambda args, kwargs: kwargs.get("group"))
    note(dist, "batch_isend_irecv", lambda args, kwargs: args[0][0].group)
    note(p2p_communication, "_p2p_ops", lambda args, kwargs: kwargs["group"])
    shape, wanted = load_shape(folder), parse_layout(layout)
    parallel.share(wanted)
    model = training.build_model(shape, wanted, torch.float32, {"batch_p2p_comm": True})
    weights.load(model, Folder(folder))
    trainer = training.prepare(model, STEP, 10)
    mine = [checkpoints.batch(folder, line) for line in LINES]
    done = training.step(trainer, mine, len(mine), checkpoints.sft_loss(LINES))
    stages = parallel_state.get_pipeline_model_parallel_group()
    used = [name for name, group in calls if group is stages]
    return done.loss, checkpoints.whole_weights(model, folder), used


def test_four_stages_that_send_batches_step_as_transformers(ranks, folders):
    folder = folders["tied"]
    loss, _, expected = reference_step(folder, LINES)
    for ours, tensors, used in ranks(4, step_by_batches, folder, "pp=4"):
        assert ours == pytest.approx(loss, rel=1e-6)
        for name, tensor in tensors.items():
            assert (tensor - expected[name]).abs().max() < 1e-6, name
        assert used[0] == "all_reduce", "all ranks join the first call of a group"
        assert used.count("batch_isend_irecv") > 2 and "_p2p_ops" not in used


@pytest.mark.parametrize(("local", "error"), [(0, None), (1, "1 GPU for 2 ranks")])
def test_a_rank_without_a_gpu_of_its_own_is_told_in_one_line(monkeypatch, local, error):
    monkeypatch.setenv("LOCAL_RANK", str(local))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    if error is None:
        parallel.check_devices(1)
        return
    with pytest.raises(UserError, match=error) as told:
        parallel.check_devices(1)
    assert "\n" not in str(told.value)
