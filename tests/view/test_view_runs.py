"""What is known of a file of rollouts by the settings of its run."""

import json
from pathlib import Path

import pytest

from qvl.view import runs


@pytest.fixture
def path(tmp_path) -> str:
    (tmp_path / "run" / "rollouts").mkdir(parents=True)
    return str(tmp_path / "run" / "rollouts" / "step-000001.jsonl.zst")


def test_the_model_and_the_media_of_a_run_are_found_by_its_settings(path, tmp_path, twin):
    assert runs.model_of(path) is runs.media_root_of(path) is None
    settings = {"model": str(twin), "media_root": str(tmp_path)}
    (tmp_path / "run" / "rl.json").write_text(json.dumps(settings))
    assert (runs.model_of(path), runs.media_root_of(path)) == (Path(twin), tmp_path)


@pytest.mark.parametrize("settings", ["{", "[]", '{"media_root": 5}', '{"media_root": "gone"}'])
def test_settings_that_say_nothing_are_no_error(path, tmp_path, settings):
    (tmp_path / "run" / "rl.json").write_text(settings)
    assert runs.model_of(path) is runs.media_root_of(path) is None


def test_the_images_of_rollouts_are_shown_without_a_media_root(path, tmp_path, sh):
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    content = [{"type": "image", "image": "red.png"}, {"type": "text", "text": "Which colour?"}]
    record = {"id": "a", "messages": [{"role": "user", "content": content}]}
    Path(path.removesuffix(".zst")).write_text(json.dumps(record) + "\n")
    (tmp_path / "run" / "rl.json").write_text(json.dumps({"media_root": str(tmp_path)}))
    done = sh(f"qvl view --export {tmp_path}/page.html {path.removesuffix('.zst')}")
    assert done.returncode == 0, done.stderr
    assert "data:image/" in (tmp_path / "page.html").read_text()
