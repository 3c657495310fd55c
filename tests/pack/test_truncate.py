"""How a sample that is too long is shortened."""

from qvl.pack import truncate
from qvl.pack.packed import Sample

IMAGE = 9
GRID = (1, 4, 4)


def sample(ids, images=0):
    references = [f"{number}.png" for number in range(images)]
    return Sample("a", ids, [(4, 6, 1.0), (8, len(ids), 0.5)], references, [GRID] * images)


def test_the_end_is_cut_to_the_token():
    left = truncate.cut_end(sample([1] * 12), 9, {IMAGE}, [])
    assert (left.ids, left.spans) == ([1] * 9, [(4, 6, 1.0), (8, 9, 0.5)])


def test_targets_after_the_cut_are_dropped():
    assert truncate.cut_end(sample([1] * 12), 8, {IMAGE}, []).spans == [(4, 6, 1.0)]


def test_an_image_that_would_be_cut_is_dropped_with_all_that_follows():
    ids = [1, 2, 3, 2, IMAGE, IMAGE, 3, 1, 2, IMAGE, IMAGE, 3, 1]
    left = truncate.cut_end(sample(ids, images=2), 10, {IMAGE}, [2, 2])
    assert left.ids == ids[:8]
    assert left.images == ["0.png"] and left.grids == [GRID]


def test_an_image_that_fits_stays():
    ids = [1, 2, IMAGE, IMAGE, 3, 1, 1, 1, 1]
    left = truncate.cut_end(sample(ids, images=1), 8, {IMAGE}, [2])
    assert (left.ids, left.images) == (ids[:8], ["0.png"])


def test_the_last_question_and_answer_are_dropped_together():
    roles = ["system", "user", "assistant", "user", "assistant", "tool", "assistant"]
    messages = [{"role": role, "content": str(place)} for place, role in enumerate(roles)]
    fewer = truncate.drop_last_turn(messages)
    assert fewer == messages[:5]
    assert truncate.drop_last_turn(messages[:5]) == messages[:3]
    assert truncate.drop_last_turn(messages[:3]) is None
