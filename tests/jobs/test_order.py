"""The order of the packs: from the seed alone, each once an epoch."""

from qvl.jobs.order import Order


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
