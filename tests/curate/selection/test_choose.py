"""`qvl choose`: one of the responses becomes the turn to learn."""

import pytest
from shells import shell

from qvl.curate.selection.choose import Choose
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.stage import Drop
from qvl.streams.expression import Expression

QUESTION = {"role": "user", "content": "What is 2 + 2?"}


def record(*responses, turn=None):
    messages = [QUESTION, *([{"role": "assistant", "content": turn}] if turn else [])]
    return {"id": "a", "messages": messages, "responses": list(responses)}


def chosen(given, **options):
    done = Choose(**options)(given)
    assert isinstance(done, dict), done
    return done["messages"][-1], done


def reason(given, **options):
    drop = Choose(**options)(given)
    assert isinstance(drop, Drop)
    return drop.reason


def by(source):
    return Expression(source)


def test_the_highest_is_chosen_and_of_equals_the_first():
    given = record(
        {"content": "a", "reward": 0}, {"content": "b", "reward": 1}, {"content": "c", "reward": 1}
    )
    turn, done = chosen(given, by=by("reward"))
    assert turn == {"role": "assistant", "content": "b"}
    assert done["messages"][:-1] == [QUESTION] and "responses" not in done
    assert done["scores"]["choose"] == {"response": 1, "of": 3, "by": 1}
    assert chosen(given, by=by("reward"), least=True)[0]["content"] == "a"
    assert chosen(given)[0]["content"] == "a"
    assert len(chosen(given, keep_responses=True)[1]["responses"]) == 3


def test_only_what_may_be_chosen_is():
    given = record({"content": "a", "reward": 1}, {"content": "bb", "reward": 0.5})
    assert chosen(given, by=by("reward"), where=by("len(content) > 1"))[0]["content"] == "bb"
    assert reason(given, where=by("reward > 1")) == "none-eligible"
    assert reason(given, by=by("scores.judge_correctness")) == "no-number"
    assert reason(record({"content": " "})) == "none-eligible"


def test_a_null_reward_is_never_the_highest():
    given = record({"content": "a", "reward": None}, {"content": "b", "reward": 0})
    assert chosen(given, by=by("reward"))[0]["content"] == "b"


def test_the_turn_that_was_there_is_replaced_and_kept_where_there_is_no_response():
    assert chosen(record({"content": "new"}, turn="old"))[1]["messages"] == [
        QUESTION,
        {"role": "assistant", "content": "new"},
    ]
    turn, done = chosen(record(turn="old"))
    assert turn["content"] == "old" and "choose" not in done.get("scores", {})
    assert reason(record()) == "no-response"


@pytest.mark.parametrize(
    "response",
    [
        {"content": "It is 4.", "reasoning_content": "2 and 2."},
        {"content": "<think>2 and 2.</think>It is 4."},
    ],
)
def test_both_formats_are_made_of_the_same_response(response):
    standard, _ = chosen(record(response), format="standard")
    assert standard == {"role": "assistant", "content": "It is 4."}
    thinking, _ = chosen(record(response), format="thinking")
    assert thinking == {
        "role": "assistant",
        "content": "It is 4.",
        "reasoning_content": "2 and 2.",
    }


def test_a_thinking_sample_needs_a_thought():
    assert reason(record({"content": "It is 4."}), format="thinking") == "no-thinking"
    with pytest.raises(UserError, match="say as-is, standard, thinking"):
        Choose(format="other")


def test_an_agents_trajectory_comes_whole_whether_it_begins_with_the_question_or_not():
    calls = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "zoom"}}]}
    rest = [calls, {"role": "tool", "content": "big"}, {"role": "assistant", "content": "4"}]
    for messages in (rest, [QUESTION, *rest]):
        _, done = chosen(record({"messages": messages}))
        assert done["messages"] == [QUESTION, *rest]
    assert reason(record({"messages": rest[:2]})) == "none-eligible"


def test_the_command_keeps_what_it_reads_or_says_why_not(tmp_path):
    rows = [record({"content": "a", "reward": 1}), record({"content": "b", "reward": 0})]
    jsonl.write(({**row, "id": str(n)} for n, row in enumerate(rows)), str(tmp_path / "in.zst"))
    line = "qvl choose --by reward --where 'reward == 1' in.zst --rejects no.zst -o out.zst"
    done = shell(tmp_path)(line)
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in jsonl.read(str(tmp_path / "out.zst"))] == ["0"]
    (lost,) = jsonl.read(str(tmp_path / "no.zst"))
    assert lost["reject"]["reason"] == "none-eligible" and lost["responses"]
    wrong = shell(tmp_path)("qvl choose --by 'reward +' in.zst")
    assert wrong.returncode == 2 and "--by" in wrong.stderr
