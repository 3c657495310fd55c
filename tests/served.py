"""The CPU twin with random weights, and one server of it for all tests."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from qvl.tiny import model

    folder = tmp_path_factory.mktemp("twin") / "twin"
    folder.mkdir()
    model.write(folder, "xs", moe=False, thinking=False, seed=0)
    return folder


class Served:
    """A running `qvl serve`; `facts` is the line that it printed."""

    def __init__(self, *words: object, **env: str) -> None:
        self.process = subprocess.Popen(
            [BIN / "qvl", "serve", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": f"{BIN}:/usr/bin:/bin", "OMP_NUM_THREADS": "1", **env},
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.facts: dict[str, Any] = json.loads(line)
        self.url: str = self.facts["endpoint"]

    def stop(self, number: int = 15) -> tuple[int, str]:
        """The exit status and standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media root with two images of random noise."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("media")
    for name, size in (("small.png", (64, 64)), ("wide.png", (128, 64))):
        Image.effect_noise(size, 80).convert("RGB").save(folder / name)
    return folder


@pytest.fixture(scope="session")
def served(twin: Path, media: Path) -> Any:
    server = Served(twin, "--port", 0, "--media-root", media)
    yield server
    assert server.stop()[0] == 143
