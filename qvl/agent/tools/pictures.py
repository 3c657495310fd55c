"""The decoded images of episodes that run now: a query's whole group looks at the same ones.

Memory is bounded: what is kept by its pixels, what is being decoded by the number of decoders.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.media import images

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT_BYTES = 512 << 20  # of pixels, 14 photos of 12 megapixels: our choice
DECODERS = 2  # at a time, each with up to qvl.media.images.MAX_BYTES: our choice


class Pictures:
    """Opens references below a root, and keeps the latest images. Threadsafe."""

    def __init__(
        self, root: Path, *, allow_remote: bool = False, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self.root, self.allow_remote, self.kept_bytes = root, allow_remote, kept_bytes
        self._kept: OrderedDict[str, Image] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._decoders = threading.BoundedSemaphore(DECODERS)

    def __call__(self, reference: str) -> "Image":
        """The image as RGB, not to be changed. MediaError if it cannot be read."""
        found = self._find(reference)
        if found is not None:
            return found
        with self._decoders:
            found = self._find(reference)  # another thread may have decoded it meanwhile
            if found is None:
                found = images.load(reference, self.root, allow_remote=self.allow_remote)
                self._keep(reference, found)
        return found

    def _find(self, reference: str) -> "Image | None":
        with self._lock:
            found = self._kept.get(reference)
            if found is not None:
                self._kept.move_to_end(reference)
            return found

    def _keep(self, reference: str, image: "Image") -> None:
        with self._lock:
            self._kept[reference] = image
            self._bytes += _size(image)
            while self._bytes > self.kept_bytes and self._kept:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(image: "Image") -> int:
    return 3 * image.width * image.height
