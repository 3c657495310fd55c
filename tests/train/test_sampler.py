"""The order of the packs: from the seed alone, each once an epoch."""

from qvl.train.sampler import Sampler, balanced


def test_an_epoch_takes_each_pack_once():
    sampler = Sampler([12], 4, seed=0)
    taken = [pack for step in range(1, 4) for pack in sampler.step(step)]
    assert sorted(taken) == list(range(12))
    assert [pack for step in range(4, 7) for pack in sampler.step(step)] != taken


def test_the_same_seed_gives_the_same_order_from_any_step():
    assert Sampler([100], 8, seed=5).step(40) == Sampler([100], 8, seed=5).step(40)
    assert Sampler([100], 8, seed=5).step(40) != Sampler([100], 8, seed=6).step(40)


def test_epochs_become_steps_that_see_everything():
    assert Sampler([10], 4, seed=0).num_steps == 3
    assert Sampler([10], 4, seed=0, epochs=2).num_steps == 5
    assert Sampler([3], 32, seed=0).num_steps == 1
    assert Sampler([4, 6], 4, seed=0, epochs=2).num_steps == 5


def test_a_part_is_passed_before_the_next_begins():
    sampler = Sampler([4, 6, 3], 2, seed=0, epochs=2)
    taken = [pack for step in range(1, sampler.num_steps + 2) for pack in sampler.step(step)]
    assert [sorted(taken[start : start + 4]) for start in (0, 4)] == [[0, 1, 2, 3]] * 2
    assert [sorted(taken[start : start + 6]) for start in (8, 14)] == [[4, 5, 6, 7, 8, 9]] * 2
    assert taken[8:14] != taken[14:20]  # shuffled anew
    # Steps beyond the passes repeat the last part.
    assert [sorted(taken[start : start + 3]) for start in (20, 23)] == [[10, 11, 12]] * 2
    assert set(taken[26:]) <= {10, 11, 12}


def test_one_part_is_ordered_as_if_there_were_no_parts():
    whole, parted = Sampler([8], 2, seed=3, epochs=2), Sampler([8, 5], 2, seed=3, epochs=2)
    assert [whole.step(n) for n in range(1, 9)] == [parted.step(n) for n in range(1, 9)]


def test_a_step_knows_whether_a_part_begins_in_it():
    for share in (0, 1 / 3):
        sampler = Sampler([4, 7, 3], 3, seed=0, extra=2, share=share)
        seen: set[int] = set()
        for number in range(1, sampler.num_steps + 1):
            own = {pack for pack in sampler.step(number) if pack < 14}
            parts = {sum(pack >= first for first in (4, 11)) for pack in own}
            assert sampler.begins_part(number) == bool(parts - seen - {0}), (share, number)
            seen |= parts


def test_a_curriculum_of_parts_can_have_packs_interleaved():
    sampler = Sampler([4, 4], 2, seed=0, extra=2, share=1 / 2)
    steps = [sampler.step(number) for number in range(1, sampler.num_steps + 1)]
    assert all(sum(pack >= 8 for pack in step) == 1 for step in steps)
    own = [pack for step in steps for pack in step if pack < 8]
    assert sorted(own[:4]) == [0, 1, 2, 3] and sorted(own[4:]) == [4, 5, 6, 7]


def test_what_is_interleaved_takes_its_share_evenly_and_comes_round():
    sampler = Sampler([6], 3, seed=0, extra=2, share=1 / 3)
    steps = [sampler.step(number) for number in range(1, sampler.num_steps + 1)]
    assert all(sum(pack >= 6 for pack in step) == 1 for step in steps)
    assert sorted(pack for step in steps for pack in step if pack < 6) == list(range(6))
    assert sorted(pack for step in steps[:2] for pack in step if pack >= 6) == [6, 7]


def test_ranks_get_all_packs_and_nearly_the_same_work():
    packs = list(range(1, 17))
    hands = [balanced(packs, lambda pack: float(pack), rank, 4) for rank in range(4)]
    assert sorted(pack for hand in hands for pack in hand) == packs
    assert {len(hand) for hand in hands} == {4}
    assert {sum(hand) for hand in hands} == {34}
