import random

import pytest

from qvl.errors import UserError
from qvl.io.spill import Spill


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_lines_come_back_in_order_whatever_is_pushed_between(block):
    draw = random.Random(block)
    spill, pushed, popped = Spill(block), [], []
    for number in range(2000):
        if draw.random() < 0.6:
            pushed.append(b"%d %s\n" % (number, b"x" * draw.randrange(30)))
            spill.push(pushed[-1])
        elif (line := spill.pop()) is not None:
            popped.append(line)
    assert popped + list(spill.drain()) == pushed
    assert spill.pop() is None


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_a_kept_spill_can_be_read_again_and_again(block):
    draw = random.Random(block)
    spill, pushed = Spill(block, keep=True), []
    for number in range(500):
        pushed.append(b"%d\n" % number)
        spill.push(pushed[-1])
        if draw.random() < 0.3:
            spill.pop()
    for _ in range(3):
        spill.rewind()
        assert list(spill.drain()) == pushed


def test_a_folder_that_cannot_be_written_is_named(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    with pytest.raises(UserError, match="TMPDIR"):
        Spill(1).push(b"a\n")
