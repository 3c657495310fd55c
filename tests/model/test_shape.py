from pathlib import Path

import pytest

from qvl.errors import UserError
from qvl.model.shape import load_shape


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"^nope: no such folder$"):
        load_shape(Path("nope"))


def test_a_name_on_the_hub_comes_with_the_command_that_downloads_it():
    hint = "first: hf download Qwen/Qwen3-VL-2B-Instruct --local-dir Qwen3-VL-2B-Instruct$"
    with pytest.raises(UserError, match=hint):
        load_shape(Path("Qwen/Qwen3-VL-2B-Instruct"))


def test_another_folder_is_no_hugging_face_folder(tmp_path):
    with pytest.raises(UserError, match="expected a Hugging Face folder"):
        load_shape(tmp_path)
