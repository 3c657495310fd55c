import pytest

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.rollout.queries import Queries


@pytest.fixture
def path(tmp_path):
    records = [{"id": str(i), "responses": [{"content": "old"}]} for i in range(5)]
    jsonl.write(records, str(tmp_path / "rl.jsonl.zst"))
    return str(tmp_path / "rl.jsonl.zst")


def test_steps_take_the_queries_in_their_order_epoch_after_epoch(path):
    queries = Queries([path], 3)
    taken = [each for step in (1, 2, 3, 4) for each in queries.step(step)]
    assert [each.place for each in taken] == list(range(12))
    assert [each.record["id"] for each in taken] == list("012340123401")


def test_responses_of_another_model_are_left_out(path):
    assert Queries([path], 1).step(1)[0].record == {"id": "0"}


def test_an_epoch_has_as_many_steps_as_it_takes(path):
    assert [Queries([path], 3).num_steps(epochs) for epochs in (0.1, 1, 3)] == [1, 2, 5]


def test_the_digest_names_queries_and_order(path, tmp_path):
    turned = str(tmp_path / "turned.jsonl.zst")
    jsonl.write(reversed([{"id": str(i)} for i in range(5)]), turned)
    assert Queries([path], 1).digest == Queries([path], 3).digest
    assert Queries([path], 1).digest != Queries([turned], 1).digest


def test_a_file_without_queries_is_an_error(tmp_path):
    jsonl.write([], str(tmp_path / "none.jsonl.zst"))
    with pytest.raises(UserError, match="holds no queries"):
        Queries([str(tmp_path / "none.jsonl.zst")], 1)
