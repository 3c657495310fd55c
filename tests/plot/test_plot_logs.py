"""What is drawn of a log, whatever has happened to its run."""

import pytest

from qvl.errors import UserError
from qvl.plot import logs

LOG = """{"settings":{"lr":1},"step":0}
{"step":1,"loss":3.0,"lr":0.1,"tokens":10,"seconds":1,"sources":{"a":{"reward":0.5,"count":4}}}
{"step":2,"loss":2.0,"lr":0.1,"tokens":20,"seconds":2,"cut":null,"ok":true}
{"step":2,"evaluation":{"loss":0.25}}
{"step":3,"rejected":"nan","records":{}}
{"step":4,"loss":9.0,"tokens":40,"seconds":4}
{"settings":{"lr":1},"step":2}
{"step":3,"loss":1.5,"tokens":30,"seconds":1}
{"step":4,"loss":1.0,"tokens":40,"sec"""


@pytest.fixture
def run(tmp_path) -> logs.Run:
    (tmp_path / "log.jsonl").write_text(LOG)
    return logs.read(str(tmp_path))


def test_a_resumed_run_has_each_step_as_it_was_taken_last(run):
    assert run.points("loss") == [(1, 3.0), (2, 2.0), (3, 1.5)]
    assert run.rejected == []


def test_names_within_names_are_metrics_and_only_numbers_are(run):
    assert run.points("sources/a/reward") == [(1, 0.5)]
    assert run.points("evaluation/loss") == [(2, 0.25)]
    assert not {"cut", "ok"} & run.series.keys()


def test_an_evaluation_is_drawn_over_what_its_step_had_seen(run):
    assert run.points("evaluation/loss", "tokens") == [(20, 0.25)]
    assert run.points("loss", "tokens") == [(10, 3.0), (20, 2.0), (30, 1.5)]


def test_the_usual_metrics_are_chosen_and_patterns_match_names(run):
    assert logs.chosen([run]) == ["loss", "evaluation/loss", "lr"]
    assert logs.chosen([run], ["sources/*", "loss", "lo*"]) == [
        "sources/a/reward",
        "sources/a/count",
        "loss",
    ]
    with pytest.raises(UserError, match=r"--metric los: not in these logs; they have .*loss"):
        logs.chosen([run], ["los"])


def test_smoothing_is_the_mean_of_the_last_points():
    points = [(1.0, 4.0), (2.0, 2.0), (3.0, 0.0), (4.0, 4.0)]
    assert logs.smoothed(points, 2) == [(1, 4), (2, 3), (3, 1), (4, 2)]
    assert logs.smoothed(points, 1) == points


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/log.jsonl", "b"], ["a", "b"]),
        (["x/run", "y/run"], ["x/run", "y/run"]),
        (["run", "run/log.jsonl"], ["run", "run (2)"]),
    ],
)
def test_runs_are_named_by_what_differs_in_their_paths(paths, expected):
    assert logs.names(paths) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}\n", "not a line of a training log"),
        ('{"id":"a"}\n{"id":"b"}\n', "not a line of a training log"),
        ("no json\n", "not JSON"),
        ("", "no step yet"),
        ('{"settings":{},"step":0}\n', "no step yet"),
    ],
)
def test_another_file_is_an_error_with_its_line(tmp_path, text, words):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(UserError, match=words):
        logs.read(str(tmp_path / "log.jsonl"))
