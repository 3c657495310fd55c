"""Which steps are not taken, and whom that is blamed on."""

import math

from qvl.train.loss_guard import WINDOW, Guard, Suspect, worst


def watching(jump: float) -> Guard:
    guard = Guard(jump)
    assert not any(guard.objection(1.0, sound=True) for _ in range(WINDOW))
    return guard


def test_what_is_not_finite_is_objected_to_from_the_first_step():
    assert Guard(0).objection(math.nan, sound=True) == "the loss is nan"
    assert Guard(0).objection(1.0, sound=False) == "a gradient is not finite"


def test_a_jump_is_objected_to_and_does_not_become_usual():
    guard = watching(2.0)
    assert guard.objection(2.9, sound=True) is None
    for _ in range(2 * WINDOW):
        told = guard.objection(3.5, sound=True)
        assert told and "3.5" in told and "median of the last 32" in told


def test_the_first_steps_may_be_anything_and_0_lets_all_pass():
    assert Guard(2.0).objection(90.0, sound=True) is None
    assert watching(0.0).objection(90.0, sound=True) is None


def test_a_guard_that_is_restored_remembers():
    guard = Guard(2.0)
    guard.restore(watching(2.0).state())
    assert guard.objection(3.5, sound=True)


def test_the_worst_come_first_and_parts_of_a_record_are_one():
    found = [("a", 4.0, 2), ("b", math.nan, 3), ("c", 3.0, 1), ("a", 2.0, 4), ("d", 0.0, 0)]
    first, *rest = worst(found)
    assert first.record == "b" and math.isnan(first.loss)
    assert rest == [Suspect("c", 3.0), Suspect("a", 1.0)]
