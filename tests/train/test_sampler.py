"""The order of the packs: from the seed alone, each once an epoch."""

from qvl.train.sampler import Sampler, balanced


def test_an_epoch_takes_each_pack_once():
    sampler = Sampler(12, 4, seed=0)
    taken = [pack for step in range(1, 4) for pack in sampler.step(step)]
    assert sorted(taken) == list(range(12))
    assert [pack for step in range(4, 7) for pack in sampler.step(step)] != taken


def test_the_same_seed_gives_the_same_order_from_any_step():
    assert Sampler(100, 8, seed=5).step(40) == Sampler(100, 8, seed=5).step(40)
    assert Sampler(100, 8, seed=5).step(40) != Sampler(100, 8, seed=6).step(40)


def test_epochs_become_steps_that_see_everything():
    assert Sampler(10, 4, seed=0).num_steps(1) == 3
    assert Sampler(10, 4, seed=0).num_steps(2) == 5
    assert Sampler(3, 32, seed=0).num_steps(1) == 1


def test_what_is_interleaved_takes_its_share_evenly_and_comes_round():
    sampler = Sampler(6, 3, seed=0, extra=2, share=1 / 3)
    steps = [sampler.step(number) for number in range(1, sampler.num_steps(1) + 1)]
    assert all(sum(pack >= 6 for pack in step) == 1 for step in steps)
    assert sorted(pack for step in steps for pack in step if pack < 6) == list(range(6))
    assert sorted(pack for step in steps[:2] for pack in step if pack >= 6) == [6, 7]


def test_ranks_get_all_packs_and_nearly_the_same_work():
    packs = list(range(1, 17))
    hands = [balanced(packs, lambda pack: float(pack), rank, 4) for rank in range(4)]
    assert sorted(pack for hand in hands for pack in hand) == packs
    assert {len(hand) for hand in hands} == {4}
    assert {sum(hand) for hand in hands} == {34}
