"""What is said against a run before its processes start."""

import pytest

from qvl.errors import UserError
from qvl.model.layout import parse_layout
from qvl.train.settings import check_batch


@pytest.mark.parametrize(
    ("batch", "layout", "ranks", "reason"),
    [
        (3, "", 2, "--batch 3: 2 ranks cannot share it evenly"),
        (6, "pp=2,vp=2", 2, "--batch 6: interleaved stages want a multiple of 4"),
    ],
)
def test_a_batch_that_ranks_cannot_share_is_refused(batch, layout, ranks, reason):
    with pytest.raises(UserError) as error:
        check_batch(batch, parse_layout(layout), ranks)
    assert str(error.value) == reason


def test_other_batches_are_taken():
    check_batch(6, parse_layout("pp=2"), 2)
    check_batch(8, parse_layout("pp=2,vp=2"), 2)
