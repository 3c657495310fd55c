"""The number of torch's threads follows the model and the machine."""

import os
import time

import pytest

from qvl import threads


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    import torch

    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "most", lambda: 4)
    yield
    torch.set_num_threads(before)


def number():
    import torch

    return torch.get_num_threads()


def sleeping(one, every):
    """A step that takes so many seconds with one thread, and with all."""
    return lambda: time.sleep(one if number() == 1 else every)


def test_a_small_model_takes_one_thread_and_is_not_measured():
    def step():
        raise AssertionError("measured")

    assert threads.choose(128, step=step) == number() == 1
    assert threads.choose(threads.SMALL) == 1


def test_a_larger_model_takes_what_is_faster():
    assert threads.choose(2048, step=sleeping(0.004, 0.002)) == number() == 4
    assert threads.choose(2048, step=sleeping(0.002, 0.004)) == number() == 1


def test_all_threads_must_be_worth_it():
    assert threads.choose(2048, step=sleeping(0.004, 0.0039)) == 1


def test_a_step_of_seconds_is_not_measured_over_and_over():
    calls = []

    def step():
        calls.append(number())
        time.sleep(threads.LONG * 1.1)

    assert threads.choose(4096, step=step) == 4
    assert len(calls) == 2


def test_without_a_step_the_choice_depends_on_the_model_alone():
    assert threads.choose(2048) == number() == 4
    assert threads.choose(64) == number() == 1


def test_a_flag_overrides():
    assert threads.choose(64, 3) == number() == 3
    assert threads.choose(4096, 1, sleeping(0.004, 0.001)) == number() == 1


def test_most_is_what_the_process_may_use(monkeypatch):
    monkeypatch.undo()
    import torch

    torch.set_num_threads(64)
    assert threads.most() == len(os.sched_getaffinity(0))
    torch.set_num_threads(1)
    assert threads.most() == 1


def test_a_number_is_described():
    assert threads.described(1) == "1 thread"
    assert threads.described(2) == "2 threads"
