"""The images that tools return, where records can refer to them and engines get them."""

import base64
import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qvl.errors import UserError
from qvl.io import atomic
from qvl.media import png
from qvl.media.patches import Grid, ImageRules

if TYPE_CHECKING:
    from PIL.Image import Image


class Shown(NamedTuple):
    """An image as the model sees it."""

    reference: str
    """In records: a path below the media root, or a data: URI."""
    uri: str
    """For the engine."""
    grid: Grid


class ToolImages:
    """Keeps images by their content, so that a run that is repeated finds the same names."""

    def __init__(self, root: Path, folder: str | None, rules: ImageRules | None) -> None:
        """folder: below the root; None: records hold the images themselves. rules: of the model."""
        self.root, self.folder, self.rules = root, folder, rules
        self._lock = threading.Lock()
        if folder is not None:
            target = (root / folder).resolve()
            if not target.is_relative_to(root.resolve()):
                raise UserError(f"--tool-images {folder}: must lie below the media root {root}")

    def __call__(self, image: "Image") -> Shown:
        """Keep an image. ValueError if the model cannot see it."""
        assert self.rules is not None
        grid = self.rules.grid(*image.size)
        content = png.encode(image)
        uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        return Shown(self._kept(content) if self.folder else uri, uri, grid)

    def store(self, image: "Image") -> str:
        """Keep an image that no engine sees now; returns its reference."""
        content = png.encode(image)
        if self.folder:
            return self._kept(content)
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"

    def _kept(self, content: bytes) -> str:
        assert self.folder
        name = hashlib.blake2b(content, digest_size=16).hexdigest()
        reference = f"{self.folder}/{name[:2]}/{name[2:]}.png"
        path = self.root / reference
        with self._lock:  # two episodes may see the same crop at once
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic.write(path, content)
        return reference
