"""Which steps are not taken, and whom that is blamed on."""

import math

from qvl.train.loss_guard import WINDOW, LossGuard, Suspect, worst


def watching(jump: float) -> LossGuard:
    guard = LossGuard(jump)
    assert not any(guard.check({"loss": 1.0}, finite_gradients=True) for _ in range(WINDOW))
    return guard


def test_what_is_not_finite_is_rejected_from_the_first_step():
    assert LossGuard(0).check({"loss": math.nan}, finite_gradients=True) == "the loss is nan"
    assert LossGuard(0).check({"loss": 1.0}, finite_gradients=False) == "a gradient is not finite"


def test_a_jump_is_rejected_and_does_not_become_usual():
    guard = watching(2.0)
    assert guard.check({"loss": 2.9}, finite_gradients=True) is None
    for _ in range(2 * WINDOW):
        reason = guard.check({"loss": 3.5}, finite_gradients=True)
        assert reason and "3.5" in reason and "median of the last 32" in reason


def test_the_first_steps_may_be_anything_and_0_lets_all_pass():
    assert LossGuard(2.0).check({"loss": 90.0}, finite_gradients=True) is None
    assert watching(0.0).check({"loss": 90.0}, finite_gradients=True) is None


def test_a_guard_that_is_restored_remembers():
    guard = LossGuard(2.0)
    guard.restore(watching(2.0).state())
    assert guard.check({"loss": 3.5}, finite_gradients=True)


def test_a_guard_that_forgets_accepts_another_level_and_watches_it_again():
    guard = LossGuard(2.0)
    for _ in range(32):
        guard.check({"loss": 1.0}, finite_gradients=True)
    assert guard.check({"loss": 9.0}, finite_gradients=True) is not None
    guard.forget()
    for _ in range(32):
        assert guard.check({"loss": 9.0}, finite_gradients=True) is None
    assert guard.check({"loss": 11.5}, finite_gradients=True) is not None


def test_the_worst_come_first_and_parts_of_a_record_are_one():
    found = [("a", 4.0, 2), ("b", math.nan, 3), ("c", 3.0, 1), ("a", 2.0, 4), ("d", 0.0, 0)]
    first, *rest = worst(found)
    assert first.record == "b" and math.isnan(first.value)
    assert rest == [Suspect("c", 3.0), Suspect("a", 1.0)]


def test_it_watches_the_metric_that_a_loss_reports():
    guard = LossGuard(0.5, metric="log_ratio")
    for _ in range(WINDOW):
        assert not guard.check({"loss": 9.0, "log_ratio": 0.1}, finite_gradients=True)
    reason = guard.check({"loss": 9.0, "log_ratio": 0.9}, finite_gradients=True)
    assert reason == "the log ratio is 0.9, where 0.1 is the median of the last 32"
    assert guard.check({"loss": 99.0, "log_ratio": 0.2}, finite_gradients=True) is None
    assert guard.check({"loss": math.inf, "log_ratio": 0.1}, finite_gradients=True)
