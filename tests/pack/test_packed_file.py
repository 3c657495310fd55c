"""Packed files are indexed once, and every rank maps the same files."""

from pathlib import Path

import checkpoints
import pytest

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pack import packed
from qvl.pack.packed_file import PackedFile


@pytest.fixture
def files(tmp_path):
    """Two packed files, and their lines."""
    lines = [[checkpoints.pack(seed) for seed in seeds] for seeds in ((1, 2, 3), (4, 5))]
    paths = []
    for number, part in enumerate(lines):
        paths.append(str(tmp_path / f"{number}.jsonl.zst"))
        jsonl.write(part, paths[-1])
    return paths, [line for part in lines for line in part]


def test_lines_sizes_and_weights_are_those_of_the_files(tmp_path, files):
    paths, lines = files
    packs = PackedFile(paths[:1], tmp_path)
    assert len(packs) == 3
    assert packs.add(paths[1:]) == 2 and len(packs) == len(lines)
    for index, line in enumerate(lines):
        assert packs[index] == line
        assert packs.size(index) == packed.size(line)
        assert packs.weight(index) == pytest.approx(checkpoints.loss_weight([line]))
    assert packs.largest_id == max(token for line in lines for token in line["input_ids"])


def test_one_rank_reads_a_file_and_the_others_map_its_index(tmp_path, files):
    paths, lines = files
    made = PackedFile(paths, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "packs").rglob("*")}
    place = next((tmp_path / "packs").iterdir())
    other = PackedFile(paths, tmp_path, once=lambda work: place)  # what a rank is told
    again = PackedFile(paths, tmp_path)  # a run that is resumed
    assert [other[index] for index in range(5)] == [again[index] for index in range(5)] == lines
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "packs").rglob("*")}
    maps = Path("/proc/self/maps").read_text()
    assert f"{place}/lines" in maps, "the lines are mapped, not copied"
    made.remove()
    assert not (tmp_path / "packs").exists()


def test_a_file_that_has_changed_is_read_anew(tmp_path, files):
    paths, lines = files
    PackedFile(paths[:1], tmp_path)
    jsonl.write(lines[:1], paths[0])
    assert len(PackedFile(paths[:1], tmp_path)) == 1


def test_a_folder_that_a_machine_does_not_see_is_told(tmp_path, files):
    with pytest.raises(UserError, match="not every machine sees this folder"):
        PackedFile(files[0], tmp_path, once=lambda work: tmp_path / "elsewhere")


def test_a_stream_without_packs_leaves_nothing(tmp_path):
    path = str(tmp_path / "none.jsonl.zst")
    jsonl.write([], path)
    with pytest.raises(UserError, match="holds no packs"):
        PackedFile([path], tmp_path)
    assert not list((tmp_path / "packs").iterdir())
