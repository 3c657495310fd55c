"""Small videos of moving blocks."""

from pathlib import Path

import av
import numpy as np


def frame(index: int, width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: a pattern that moves by 2 pixels per frame."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    big = np.kron(blocks, np.ones((height // 8 + 1, width // 12 + 1, 1), dtype=np.uint8))
    return np.ascontiguousarray(np.roll(big[:height, :width], 2 * index, axis=1))


def write(
    path: Path, num_frames: int, *, fps: int = 10, width: int = 96, height: int = 64, seed: int = 0
) -> Path:
    """Write a video file, always with the same frames; the name decides its kind."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast"}  # x264 looking ahead makes no two files alike
        for index in range(num_frames):
            shown = av.VideoFrame.from_ndarray(frame(index, width, height, seed), format="rgb24")
            file.mux(stream.encode(shown))
        file.mux(stream.encode())
    return path
