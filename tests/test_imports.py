import gc

import pytest

from qvl.imports import gc_frozen


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_the_collector_is_off_inside_and_on_after():
    searches = []
    gc.callbacks.append(lambda phase, info: searches.append(phase))
    try:
        with gc_frozen():
            made = [[] for _ in range(100_000)]
            assert not searches
        made += [[] for _ in range(100_000)]
        assert searches
    finally:
        gc.callbacks.pop()


def test_objects_from_inside_are_not_searched_again():
    gc.collect()
    with gc_frozen():
        made = [[] for _ in range(1_000)]
    assert gc.get_freeze_count() > len(made)
    assert not any(each is made[0] for each in gc.get_objects())


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with gc_frozen(), gc_frozen():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ValueError), gc_frozen():
        raise ValueError
    assert gc.isenabled()
