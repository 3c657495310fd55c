import pytest

from qvl.rollout.minibatches import minibatches, packs


def response(advantage, tokens=(5, 6), finish_reason="stop"):
    return {
        "advantage": advantage,
        "prompt_token_ids": [1, 2, 3],
        "token_ids": list(tokens),
        "logprobs": [-0.5] * len(tokens),
        "finish_reason": finish_reason,
    }


def record(*responses, name="a"):
    return {
        "id": name,
        "responses": list(responses),
        "rollout": {"images": [], "grids": []},
    }


def test_a_query_and_its_whole_group_belong_to_one_minibatch():
    records = [record(response(1.0), response(-1.0), name=str(i)) for i in range(5)]
    one, two = minibatches(records, 2)
    assert [each.sample.id for each in one.learnt] == ["0#0", "0#1", "2#0", "2#1", "4#0", "4#1"]
    assert {each.record for each in two.learnt} == {1, 3}
    assert (one.responses, two.responses) == (6, 4)


def test_weights_are_the_mean_over_tokens_and_then_over_all_judged_responses():
    records = [record(response(1.0, [4]), response(-1.0, [4, 5, 6, 7])), record(response(0.0))]
    (part,) = minibatches(records, 1)
    spans = [each.sample.spans for each in part.learnt]
    assert spans == [[(3, 4, pytest.approx(1 / 3))], [(3, 7, pytest.approx(1 / 12))]]


def test_a_response_without_verdict_does_not_count_and_one_without_advantage_does():
    (part,) = minibatches([record(response(None), response(0.0), response(2.0))], 1)
    assert [each.response for each in part.learnt] == [2]
    assert part.responses == 2


def test_a_response_without_a_token_is_counted_and_not_learnt():
    (part,) = minibatches([record(response(1.0, []), response(-1.0))], 1)
    assert [each.response for each in part.learnt] == [1]
    assert part.responses == 2


def test_a_cut_response_is_learnt_unless_it_is_masked():
    records = [record(response(1.0, finish_reason="length"), response(-1.0))]
    assert len(minibatches(records, 1)[0].learnt) == 2
    (masked,) = minibatches(records, 1, mask_cut=True)
    assert [each.response for each in masked.learnt] == [1]
    assert masked.responses == 2


def test_the_trainers_log_probs_of_a_file_are_the_old_ones():
    kept = {**response(1.0), "trainer_logprobs": [-0.4, -0.6]}
    (part,) = minibatches([record(kept)], 1)
    assert part.learnt[0].sample.columns["old_log_probs"] == [-0.4, -0.6]
    assert part.learnt[0].sample.columns["engine_log_probs"] == [-0.5, -0.5]


@pytest.mark.parametrize(("version", "is_old"), [("step-000001", True), ("step-000002", False)])
def test_the_trainers_log_probs_are_the_old_ones_only_of_weights_that_sampled(version, is_old):
    """Those of stale samples are newer: a run that was killed would learn the step with other ratios."""
    kept = {"trainer_logprobs": [-0.4, -0.6], "trainer_version": version}
    sampled = {**response(1.0), **kept, "weight_versions": [["step-000001", 0, 2]]}
    (part,) = minibatches([record(sampled)], 1)
    assert ("old_log_probs" in part.learnt[0].sample.columns) == is_old


def learnt(*lengths):
    records = [record(*(response(1.0, range(10, 10 + length)) for length in lengths))]
    return minibatches(records, 1)[0].learnt


def test_packs_hold_every_response_once_and_are_nearly_equal():
    found = packs(learnt(*range(1, 41)), 100, 4)
    sizes = [sum(len(each.sample.ids) for each in pack) for pack in found]
    assert len(found) % 4 == 0
    assert max(sizes) <= 100
    assert max(sizes) - min(sizes) <= 8
    assert sorted(each.response for pack in found for each in pack) == list(range(40))


def test_packs_are_never_empty_and_what_fills_them_has_no_weight():
    found = packs(learnt(3, 2), 64, 4)
    assert [len(pack) for pack in found] == [1, 1, 1, 1]
    weights = sorted(pack[0].sample.spans[0][2] for pack in found)
    assert weights[:2] == [0, 0]
    assert weights[2] > 0


def test_a_response_longer_than_the_budget_has_a_pack():
    found = packs(learnt(200, 3), 64, 1)
    assert max(len(each.sample.ids) for pack in found for each in pack) == 203


def test_full_packs_do_not_leave_empty_ones():
    found = packs(learnt(*[61] * 5), 64, 4)
    assert len(found) == 8
    assert all(found)


def test_nothing_to_learn_gives_no_packs():
    assert packs([], 64, 2) == []


def episode(advantage=1.0, finish_reason="stop"):
    """Two turns of 2 and 3 tokens, with an observation of 4 between them, one of them an image."""
    return {
        "advantage": advantage,
        "prompt_token_ids": [1, 2, 3],
        "token_ids": [10, 11, 90, 91, 92, 93, 20, 21, 22],
        "sampled": [[0, 2], [6, 9]],
        "logprobs": [-0.1, -0.2, -0.3, -0.4, -0.5],
        "images": ["crop.png"],
        "grids": [[1, 2, 2]],
        "finish_reason": finish_reason,
    }


def test_of_an_episode_the_sampled_tokens_are_learnt_and_no_other():
    rolled = {**record(episode()), "rollout": {"images": ["a.png"], "grids": [(1, 2, 4)]}}
    (one,) = minibatches([rolled], 1)[0].learnt
    assert [one.sample.ids[place] for place in one.sample.targets] == [10, 11, 20, 21, 22]
    assert one.sample.num_targets == len(one.sample.columns["advantage"]) == 5
    assert one.sample.columns["engine_log_probs"] == [-0.1, -0.2, -0.3, -0.4, -0.5]
    assert {weight for _, _, weight in one.sample.spans} == {1 / 5}
    assert one.sample.images == ["a.png", "crop.png"]
    assert one.sample.grids == [(1, 2, 4), (1, 2, 2)]


def test_an_episode_over_its_turns_counts_and_is_not_learnt_unless_it_is_asked_for():
    records = [record(episode(1.0, "turns"), episode(-1.0))]
    (part,) = minibatches(records, 1)
    assert ([each.response for each in part.learnt], part.responses) == ([1], 2)
    (both,) = minibatches(records, 1, mask_over_turn=False)
    assert [each.response for each in both.learnt] == [0, 1]


def test_what_fills_a_pack_has_no_weight_in_any_turn():
    found = packs(minibatches([record(episode())], 1)[0].learnt, 64, 2)
    filling = [pack[0].sample for pack in found if pack[0].sample.spans[0][2] == 0]
    assert [[weight for _, _, weight in one.spans] for one in filling] == [[0.0, 0.0]]
