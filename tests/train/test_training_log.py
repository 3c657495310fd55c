"""log.jsonl over a run and its resumption."""

import orjson

from qvl.settings import Logging
from qvl.train.log import TrainingLog


def begun(folder, step):
    log = TrainingLog(folder, Logging(), lambda row: None, steps=4, peak=None)
    log.begin({"steps": 4}, step, "run")
    return log


def test_a_resumed_run_reports_an_evaluation_only_if_the_log_lacks_it(tmp_path):
    log = begun(tmp_path, 0)
    log.evaluation(0, {"accuracy": 0.25})
    log.evaluation(4, {"accuracy": 0.75})  # after the checkpoint: the run repeats these steps
    log.close()
    log = begun(tmp_path, 2)
    for step in (0, 2, 4):
        log.evaluation(step, {"accuracy": 0.5})
    log.close()
    rows = map(orjson.loads, (tmp_path / "log.jsonl").read_bytes().splitlines())
    found = [(row["step"], row["evaluation"]["accuracy"]) for row in rows if "evaluation" in row]
    assert found == [(0, 0.25), (2, 0.5), (4, 0.5)]
