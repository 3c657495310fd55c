"""The order of the packs: from the seed alone, each once an epoch."""

from qvl.train.sampler import Order, deal


def test_an_epoch_takes_each_pack_once():
    order = Order(12, 4, seed=0)
    taken = [pack for step in range(3) for pack in order.step(step)]
    assert sorted(taken) == list(range(12))
    assert [pack for step in range(3, 6) for pack in order.step(step)] != taken


def test_the_same_seed_gives_the_same_order_from_any_step():
    assert Order(100, 8, seed=5).step(40) == Order(100, 8, seed=5).step(40)
    assert Order(100, 8, seed=5).step(40) != Order(100, 8, seed=6).step(40)


def test_epochs_become_steps_that_see_everything():
    assert Order(10, 4, seed=0).num_steps(1) == 3
    assert Order(10, 4, seed=0).num_steps(2) == 5
    assert Order(3, 32, seed=0).num_steps(1) == 1


def test_what_is_interleaved_takes_its_share_evenly_and_comes_round():
    order = Order(6, 3, seed=0, extra=2, share=1 / 3)
    steps = [order.step(number) for number in range(order.num_steps(1))]
    assert all(sum(pack >= 6 for pack in step) == 1 for step in steps)
    assert sorted(pack for step in steps for pack in step if pack < 6) == list(range(6))
    assert sorted(pack for step in steps[:2] for pack in step if pack >= 6) == [6, 7]


def test_ranks_are_dealt_all_packs_and_nearly_the_same_work():
    packs = list(range(1, 17))
    hands = [deal(packs, lambda pack: float(pack), rank, 4) for rank in range(4)]
    assert sorted(pack for hand in hands for pack in hand) == packs
    assert {len(hand) for hand in hands} == {4}
    assert {sum(hand) for hand in hands} == {34}
