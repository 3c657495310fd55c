"""Which weights sample which step is fixed by the order of the commands."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from qvl.errors import EndpointError
from qvl.io import jsonl
from qvl.rollout.run_folder import evaluation, rollouts
from qvl.rollout.sampler import Span, version
from qvl.rollout.schedule import Schedule


class Process:
    """Does each command at once, and remembers which weights did it."""

    def __init__(self, output, fail=""):
        self.output, self.fail, self.weights, self.done = output, fail, "", []

    def put(self, command, *arguments):
        future = Future()
        self.done.append((command, *arguments[-1:]))
        if command == "load":
            self.weights = arguments[1]
            if self.weights == self.fail:
                future.set_exception(EndpointError("it took no weights"))
                return future
        if command == "sample":
            path = rollouts(self.output, arguments[0])
            path.parent.mkdir(exist_ok=True)
            jsonl.write([{"id": "a", "weights": self.weights}], str(path))
        span = Span(10.0, 12.0, signal=0.5)
        future.set_result((span, {}) if command == "evaluate" else span)
        return future


def sampled(tmp_path, staleness, steps=4, done=0):
    process = Process(tmp_path)
    schedule = Schedule(process, lambda work: work(), tmp_path, staleness=staleness)
    schedule.begin(done, steps, lambda step: Path("base"))
    found = {}
    for number in range(done + 1, steps + 1):
        (record,) = schedule.records(number)
        found[number] = record["weights"]
        schedule.trained(number, lambda step: Path("new"))
    return found, process


def test_without_staleness_each_step_is_sampled_by_the_weights_of_the_one_before(tmp_path):
    found, _ = sampled(tmp_path, 0)
    assert found == {number: version(number - 1) for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("staleness", [1, 2])
def test_with_staleness_the_weights_are_exactly_that_much_older(tmp_path, staleness):
    found, _ = sampled(tmp_path, staleness)
    assert found == {n: version(max(0, n - 1 - staleness)) for n in (1, 2, 3, 4)}


def test_the_trainers_log_probs_are_added_to_the_file_of_the_step(tmp_path):
    schedule = Schedule(Process(tmp_path), lambda work: work(), tmp_path)
    path = rollouts(tmp_path, 1)
    path.parent.mkdir()
    records = [{"responses": [{}, {}]}]
    schedule.keep(1, records, {})
    assert not path.exists()
    schedule.keep(1, records, {(0, 1): [-0.5]})
    kept = {"trainer_logprobs": [-0.5], "trainer_version": version(0)}
    assert list(jsonl.read(str(path))) == [{"responses": [{}, kept]}]


def test_no_step_behind_the_last_is_sampled(tmp_path):
    _, process = sampled(tmp_path, 1)
    assert [number for command, number in process.done if command == "sample"] == [1, 2, 3, 4]


def test_a_run_that_is_resumed_gives_the_engine_its_weights_first(tmp_path):
    found, process = sampled(tmp_path, 0, done=2)
    assert process.done[0] == ("load", version(2))
    assert found == {3: version(2), 4: version(3)}


def test_an_update_that_failed_ends_the_run_before_its_samples_are_used(tmp_path):
    process = Process(tmp_path, fail=version(1))
    schedule = Schedule(process, lambda work: work(), tmp_path)
    schedule.begin(0, 4, lambda step: Path("base"))
    schedule.records(1)
    schedule.trained(1, lambda step: Path("new"))
    with pytest.raises(EndpointError, match="took no weights"):
        schedule.records(2)


def test_evaluations_come_at_the_start_every_few_steps_and_at_the_end(tmp_path):
    process = Process(tmp_path)
    schedule = Schedule(process, lambda work: work(), tmp_path, evaluate_every=2)
    schedule.begin(0, 3, lambda step: Path("base"))
    for number in (1, 2, 3):
        schedule.records(number)
        schedule.trained(number, lambda step: Path("new"))
    assert [step for step, _ in schedule.evaluations()] == [0, 2, 3]
    assert schedule.evaluations() == []


def test_an_evaluation_is_reported_though_a_run_was_killed_behind_its_file(tmp_path):
    path = evaluation(tmp_path, 2)
    path.parent.mkdir()
    path.touch()
    schedule = Schedule(Process(tmp_path), lambda work: work(), tmp_path, evaluate_every=2)
    schedule.begin(2, 4, lambda step: Path("base"))
    assert [step for step, _ in schedule.evaluations()] == [2]


def test_what_the_engine_did_during_a_wait_is_not_idle(tmp_path):
    schedule = Schedule(Process(tmp_path), lambda work: work(), tmp_path)
    schedule.begin(0, 1, lambda step: Path("base"))
    schedule.records(1)
    found = schedule.phases(9.0, 13.0)
    assert found == {
        "load_seconds": 2.0,
        "sample_seconds": 2.0,
        "signal_seconds": 0.5,
        "idle_seconds": 2.0,
    }
    assert schedule.phases(9.0, 13.0) == {"idle_seconds": 4.0}
