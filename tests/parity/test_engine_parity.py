"""`qvl parity --endpoint`: an engine of the same folder is equal, and one of another is found out."""

import shutil
from importlib import import_module

import pytest
from fake_endpoint import FakeEndpoint, completion
from served import Served
from shells import shell
from test_parity import (
    IMAGES,
    OTHER_FRAMES,
    VIDEOS,
    copy_media,
    corrupt_means,
    corrupt_one_tensor,
    corrupt_rope,
    corrupt_sizes,
    corrupt_template,
    folder,  # noqa: F401 - a fixture
)

from qvl.errors import CheckFailed, EndpointError
from qvl.io import jsonl
from qvl.parity import compare, engine, records
from qvl.parity.huggingface import HuggingFace
from qvl.tiny import model

session = import_module("qvl.cli.session").session


@pytest.fixture(scope="module")
def theirs(folder):  # noqa: F811
    return HuggingFace(folder / "twin", folder)


@pytest.mark.parametrize("name", ["twin", "moe"])
def test_text_images_videos_and_tool_calls_are_equal(folder, name):  # noqa: F811
    line = f"qvl parity {name} --endpoint {{endpoint}} records.jsonl.zst -o same.zst"
    done = shell(folder)(f"qvl serve {name} --port 0 --media-root . -- {line}", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    rows = {each["id"]: each["scores"]["parity"] for each in jsonl.read(str(folder / "same.zst"))}
    assert {kind for row in rows.values() for kind in row} == set(compare.CLASSES)
    assert all(each["largest"] < 1e-5 for row in rows.values() for each in row.values())
    assert {"file", "frames", "mixed"} <= set(rows)
    many = rows["several"]["after-image"]["tokens"] + rows["several"]["text"]["tokens"]
    assert many < 100  # an image's own tokens are not compared


def stale(other):
    """What a server has that missed an update."""
    shutil.rmtree(other)
    other.mkdir()
    model.write(other, "s", moe=False, thinking=False, seed=1)


@pytest.mark.parametrize(
    ("corrupt", "expected"),
    [
        (corrupt_template, "token "),
        (
            corrupt_means(IMAGES),
            r"at token \d+, (after-image|special)",
        ),  # <|vision_end|> is special
        (corrupt_sizes(IMAGES, 16), "token|read another prompt"),
        (corrupt_means(VIDEOS), "'file': .*at token"),
        (corrupt_sizes(VIDEOS, 64), "'file': token "),
        (corrupt_rope, "at token"),
        (corrupt_one_tensor, "at token"),
        (stale, "at token"),
    ],
)
def test_a_corrupted_engine_is_found(folder, theirs, tmp_path, corrupt, expected):  # noqa: F811
    shutil.copytree(folder / "twin", tmp_path / "other")
    corrupt(tmp_path / "other")
    server = Served(tmp_path / "other", "--port", 0)
    totals = compare.Differences(compare.TOLERANCE)
    try:
        with (
            pytest.raises((CheckFailed, EndpointError), match=expected),
            engine.RunningEngine(server.url, folder / "twin", folder) as served,
        ):
            with session(
                "parity", [str(folder / "records.jsonl.zst")], str(tmp_path / "out")
            ) as run:
                run.write(records.compared_with_engine(run, theirs, served, totals))
            totals.check()
    finally:
        server.stop()


def test_flags_of_megatron_are_refused_beside_an_endpoint(folder, served):  # noqa: F811
    done = shell(folder)(f"qvl parity twin --layout tp=2 --endpoint {served.url} records.jsonl.zst")
    assert done.returncode == 2 and "--layout and --against are for Megatron" in done.stderr


@pytest.mark.parametrize(("corrupt", "expected"), OTHER_FRAMES)
def test_differently_sampled_frames_are_found(folder, theirs, tmp_path, corrupt, expected):  # noqa: F811
    """The engine is sent the same records with other media."""
    copy_media(folder, tmp_path)
    corrupt(tmp_path)
    server = Served(folder / "twin", "--port", 0)
    totals = compare.Differences(compare.TOLERANCE)
    try:
        with (
            engine.RunningEngine(server.url, folder / "twin", tmp_path) as served,
            session("parity", [str(folder / "videos.jsonl.zst")], str(tmp_path / "out")) as run,
        ):
            run.write(records.compared_with_engine(run, theirs, served, totals))
        with pytest.raises(CheckFailed, match=expected):
            totals.check()
    finally:
        server.stop()


def test_videos_are_rejected_for_an_engine_that_samples_other_frames(
    folder,  # noqa: F811
    theirs,
    tmp_path,
):
    """A SGLang that qvl serve did not start."""
    paths = ("/v1/chat/completions", "/generate", "/update_weights_from_disk")
    described = {"openapi": "3.1.0", "paths": {path: {} for path in paths}}
    files = [str(folder / "videos.jsonl.zst")], str(tmp_path / "out")
    with (
        FakeEndpoint(lambda body, attempt: completion("x"), described) as fake,
        engine.RunningEngine(fake.url, folder / "twin", folder) as served,
        session("parity", *files, rejects=str(tmp_path / "bad")) as run,
    ):
        run.write(records.compared_with_engine(run, theirs, served, compare.Differences(1.0)))
    rejects = [each["reject"] for each in jsonl.read(str(tmp_path / "bad"))]
    assert [each["reason"] for each in rejects] == ["video"] * 3
    assert "samples other frames" in rejects[0]["detail"] and fake.requests == []
