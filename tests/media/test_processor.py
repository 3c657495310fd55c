"""Where a checkpoint keeps the settings of its image and video processors."""

import json

import pytest

from qvl.errors import UserError
from qvl.media import patches, video_patches

SETTINGS = {
    "patch_size": 16,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def test_one_file_may_hold_both(tmp_path):
    sizes = {"size": {"shortest_edge": 1024, "longest_edge": 4096}}
    config = {"image_processor": SETTINGS | sizes, "video_processor": SETTINGS | sizes}
    (tmp_path / "processor_config.json").write_text(json.dumps(config))
    assert patches.load_rules(tmp_path) == video_patches.load_rules(tmp_path).of_frames


def test_both_know_the_older_names_of_the_limits(tmp_path):
    config = json.dumps(SETTINGS | {"min_pixels": 1024, "max_pixels": 4096})
    (tmp_path / "preprocessor_config.json").write_text(config)
    (tmp_path / "video_preprocessor_config.json").write_text(config)
    for rules in (patches.load_rules(tmp_path), video_patches.load_rules(tmp_path).of_frames):
        assert (rules.min_pixels, rules.max_pixels) == (1024, 4096)


def test_a_patch_size_of_the_whole_processor_is_not_that_of_videos(tmp_path):
    (tmp_path / "processor_config.json").write_text(json.dumps(SETTINGS))
    assert not video_patches.has_rules(tmp_path)
    with pytest.raises(UserError, match="takes no videos"):
        video_patches.load_rules(tmp_path)


@pytest.mark.parametrize("load", [patches.load_rules, video_patches.load_rules])
def test_what_is_not_json_is_one_line(tmp_path, load):
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        (tmp_path / name).write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        load(tmp_path)


def test_what_lacks_a_setting_is_named(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"patch_size": 16}')
    with pytest.raises(UserError, match="its image processor lacks 'merge_size'"):
        patches.load_rules(tmp_path)
