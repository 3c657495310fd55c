"""Messages that overlap with a step change nothing, however many buckets of parameters there are."""

from collections import Counter
from dataclasses import replace

import checkpoints
import pytest
from test_equals_transformers import STEP, build

BUCKET = 4000  # parameters; the models here have up to 200,000
# Whether the micro-batches of each step have images. The last step begins without.
IMAGES = {
    "mixed": [[True, False, True, True], [False, False, True, False], [True, True, True, True]],
    "text alone": [[False] * 4] * 3,
}


def steps(folder, layout, images, overlap):
    """Three steps; the losses, the weights, and how often each bucket was gathered in the last."""
    from megatron.core.distributed import param_and_grad_buffer

    from qvl.megatron import parallel, training

    model = build(folder, layout)
    trainer = training.prepare(model, replace(STEP, eps=1e-2), 10, overlap=overlap, bucket=BUCKET)
    rank, ranks = parallel.data_rank()
    gathers: Counter[int] = Counter()
    send = param_and_grad_buffer.dist_all_gather_func

    def counted(output, *args, **kwargs):
        gathers[output.data_ptr()] += 1
        return send(output, *args, **kwargs)

    param_and_grad_buffer.dist_all_gather_func = counted
    losses = []
    for number, kinds in enumerate(images):
        lines = [checkpoints.pack(9 * number + at, images=own) for at, own in enumerate(kinds)]
        mine = [checkpoints.batch(folder, line, dealt=True) for line in lines[rank::ranks]]
        gathers.clear()
        losses.append(training.step(trainer, mine, len(mine), checkpoints.sft_loss(lines)).loss)
    sent = list(gathers.values())
    param_and_grad_buffer.dist_all_gather_func = send
    trainer.wait_for_parameters()
    return losses, checkpoints.whole_weights(model, folder), sent


@pytest.mark.parametrize(
    ("kind", "count", "layout", "images"),
    [
        ("tied", 2, "tp=1", "mixed"),
        ("untied", 2, "tp=1", "text alone"),
        ("untied", 4, "tp=2", "mixed"),
        ("tied", 2, "pp=2", "mixed"),
        ("untied", 4, "pp=2,vp=2", "mixed"),
        ("untied", 8, "pp=4", "mixed"),
        ("moe", 4, "ep=2", "mixed"),
    ],
)
def test_several_steps_are_those_without_overlap(ranks, folders, kind, count, layout, images):
    plain = ranks(count, steps, folders[kind], layout, IMAGES[images], False)
    overlapped = ranks(count, steps, folders[kind], layout, IMAGES[images], True)
    for (losses, tensors, _), (again, others, sent) in zip(plain, overlapped, strict=True):
        assert again == pytest.approx(losses, rel=1e-6)
        for name, tensor in tensors.items():
            assert (tensor - others[name]).abs().max() < 1e-6, name
        assert set(sent) == {1}, "each bucket is gathered once a step"
    assert len(overlapped[0][2]) > 4  # Megatron has one bucket in the later stages
