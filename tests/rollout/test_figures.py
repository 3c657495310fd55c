from qvl.rollout import figures


def response(reward, *, advantage=1.0, tokens=4, cut=False, penalty=0.0, temperature=1.0):
    rewards = {} if reward is None else {"math": reward, "language": penalty}
    return {
        "reward": reward,
        "rewards": rewards,
        "verdict": {"verifier": "math"},
        "advantage": advantage if reward is not None else None,
        "num_tokens": tokens,
        "finish_reason": "length" if cut else "stop",
        "sampling": {"temperature": temperature},
    }


def record(*responses, task="math", source="a"):
    return {"task": task, "source": source, "responses": list(responses)}


STEP = [
    record(response(1.0, tokens=2), response(0.0, cut=True, tokens=8)),
    record(response(1.0, advantage=0.0), response(1.0, advantage=0.0), source="b"),
    record(response(0.0, advantage=0.0, penalty=-1.0), response(None), task="ocr", source="b"),
    record(source="b"),
]


def test_the_figures_of_a_step():
    found = figures.of_step(STEP)
    assert found["reward"] == 0.6
    assert found["teaching_groups"] == found["all_right"] == found["all_wrong"] == 0.3333
    assert found["cut"] == 0.1667
    assert (found["no_verdict"], found["empty"], found["refused"]) == (1, 0, 1)
    assert (found["response_tokens"], found["longest"]) == (4.3333, 8)
    assert (found["pass_rate/math"], found["pass_rate/ocr"]) == (0.75, 0.0)
    assert found["rate/language"] == 0.2
    assert found["sources"] == {
        "a": {"reward": 0.5, "count": 2},
        "b": {"reward": 0.6667, "count": 3},
    }


def test_an_evaluation_tells_greedy_from_sampled_responses():
    greedy = response(1.0, temperature=0.0)
    found = figures.of_evaluation([record(greedy, response(1.0), response(0.0))])
    assert (found["accuracy"], found["sampled/accuracy"]) == (1.0, 0.5)


def test_accuracy_is_without_penalties():
    found = figures.of_step([record(response(0.5)), record({**response(1.0), "reward": 0.5})])
    assert found["pass_rate"] == 0.75
    assert found["reward"] == 0.5
