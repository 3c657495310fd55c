import math

import pytest

from qvl.errors import CheckFailed
from qvl.rollout.gap import Gap

SPECIAL = {9: "<|im_end|>", 7: "<|image_pad|>"}


def gap(engine, trainer, ids=(1, 2, 5, 6, 9)):
    found = Gap()
    found.add("a#0", ids, range(len(ids) - len(engine), len(ids)), engine, trainer, SPECIAL)
    return found


def test_the_gap_is_the_mean_difference_in_total_and_by_class_of_token():
    found = gap([-1.0, -2.0, -3.0], [-1.1, -2.0, -3.4])
    assert found.figures() == {
        "gap": pytest.approx(0.5 / 3, rel=1e-3),
        "gap_max": pytest.approx(0.4),
        "gap/special": pytest.approx(0.4),
        "gap/text": pytest.approx(0.05),
    }


def test_tokens_behind_an_image_are_a_class_of_their_own():
    found = gap([-1.0], [-1.0], ids=(7, 7, 3))
    assert found.tokens == {"after-image": 1}


def test_over_the_limit_the_worst_record_and_token_are_named():
    found = gap([-1.0, -2.0, -3.0], [-1.0, -2.5, -3.0])
    with pytest.raises(
        CheckFailed, match=r"step 3: .* a#0, token 1 \(id 6\): -2.0000 by the engine"
    ):
        found.check(0.01, 3)
    found.check(0.2, 3)


def test_a_log_prob_that_is_no_number_is_the_worst():
    found = gap([-1.0, math.nan, -3.0], [-1.0, -2.5, -9.0])
    with pytest.raises(CheckFailed, match="token 1 "):
        found.check(100.0, 1)


def test_gaps_of_ranks_are_merged():
    total = Gap()
    total.merge([gap([-1.0], [-1.5]), Gap(), gap([-1.0], [-1.0])])
    assert total.mean == pytest.approx(0.25)
    assert total.worst and total.worst.gap == pytest.approx(0.5)
