"""The decoded images of episodes that run now: a query's whole group looks at the same ones.

Memory is bounded: what is kept by its pixels, what is being decoded by the number of decoders.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.media import images
from qvl.recent import Recent

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT_BYTES = 512 << 20  # of pixels, 14 photos of 12 megapixels: our choice
DECODERS = 2  # at a time, each with up to qvl.media.images.MAX_BYTES: our choice


class Pictures:
    """Opens references below a root, and keeps the latest images. Threadsafe."""

    def __init__(
        self, root: Path, *, allow_remote: bool = False, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self.root, self.allow_remote = root, allow_remote
        self._kept: Recent[str, Image] = Recent(kept_bytes, _size)
        self._decoders = threading.BoundedSemaphore(DECODERS)

    def __call__(self, reference: str) -> "Image":
        """The image as RGB, not to be changed. MediaError if it cannot be read."""
        found = self._kept.get(reference)
        if found is not None:
            return found
        with self._decoders:
            found = self._kept.get(reference)  # another thread may have decoded it meanwhile
            if found is None:
                found = images.load(reference, self.root, allow_remote=self.allow_remote)
                self._kept.keep(reference, found)
        return found


def _size(image: "Image") -> int:
    return 3 * image.width * image.height
