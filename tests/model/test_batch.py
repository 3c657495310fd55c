"""Samples with columns become batches: from memory as from a packed line."""

import checkpoints
import pytest
import torch

from qvl.errors import UserError
from qvl.media.errors import LostMedia
from qvl.model.batch import batch_of, make_batch
from qvl.model.shape import load_shape
from qvl.pack import truncate
from qvl.pack.packed import from_row, join, to_row


def line_with_columns():
    line = checkpoints.pack(1)
    count = sum(end - start for start, end, _ in line["loss_weights"])
    top = [[place, place + 1] for place in range(count)]
    return {**line, "columns": {"advantage": [place / 2 for place in range(count)], "top_ids": top}}


@pytest.fixture
def line():
    return line_with_columns()


def test_a_batch_from_memory_is_that_of_the_packed_line(line, dense):
    shape, load = load_shape(dense), checkpoints.loader(line)
    one = make_batch(line, shape, load)
    other = batch_of(checkpoints.samples(line), shape, load)
    for name, value in vars(one).items():
        if torch.is_tensor(value):
            assert torch.equal(value, getattr(other, name)), name
    assert one.columns.keys() == other.columns.keys() == {"weight", "advantage", "top_ids"}
    for name, value in one.columns.items():
        assert torch.equal(value, other.columns[name])
    assert one.columns["advantage"].dtype == torch.float32
    assert one.columns["top_ids"].dtype == torch.long
    assert one.columns["top_ids"].shape == (len(one.labels), 2)


def test_each_target_knows_its_record(line, dense):
    batch = make_batch(line, load_shape(dense), None)
    expected = [
        number
        for number, (start, end, _) in enumerate(line["loss_weights"])
        for _ in range(start, end)
    ]
    assert batch.sequences.tolist() == expected
    assert batch.num_targets.tolist() == [end - start for start, end, _ in line["loss_weights"]]


def test_a_part_of_the_targets_keeps_its_columns(line, dense):
    batch = make_batch(line, load_shape(dense), None)
    part = batch.with_targets(torch.tensor([3, 0]))
    assert part.labels.tolist() == batch.labels[[3, 0]].tolist()
    assert part.columns["advantage"].tolist() == [1.5, 0.0]
    assert torch.equal(part.num_targets, batch.num_targets)


def test_columns_outlive_a_row_and_a_truncation(line):
    first = from_row(to_row(checkpoints.samples(line)[0]))
    assert first.columns["advantage"] == [0.0, 0.5]
    cut = truncate.cut_end(first, len(first.ids) - 1, (), [])
    assert cut.num_targets == 1
    assert cut.columns == {"advantage": [0.0], "top_ids": [[0, 1]]}


def test_columns_that_do_not_fit_are_an_error(line):
    one, other, *_ = checkpoints.samples(line)
    other.columns = {"advantage": other.columns["advantage"]}
    with pytest.raises(UserError, match=r"1-1: columns \['advantage'\], where 1-0"):
        join("pack", [one, other])
    one.columns = {"advantage": [1.0]}
    with pytest.raises(UserError, match="1-0: column advantage has 1 values for 2 target tokens"):
        join("pack", [one])


def test_a_pack_without_targets_is_a_batch(dense):
    line = {**checkpoints.pack(1), "loss_weights": []}
    batch = make_batch(line, load_shape(dense), None)
    assert len(batch.labels) == len(batch.columns["weight"]) == 0
    assert batch.num_targets.tolist() == [0] * 6


def test_a_lost_image_is_named_with_the_records_that_have_it(dense):
    line = checkpoints.pack(1)  # six records with 0, 1, 2, 0, 1 and 2 images
    shape = load_shape(dense)

    def load(reference):
        if reference == "lost":
            raise LostMedia(reference, "image lost: No such file")
        return checkpoints.loader(line)(reference)

    for indices, words in (([2], "record '1-2': image lost"), ([1, 3], "records '1-2', '1-4': ")):
        images = ["lost" if i in indices else name for i, name in enumerate(line["images"])]
        with pytest.raises(UserError, match=f"^{words}"):
            make_batch({**line, "images": images}, shape, load)
