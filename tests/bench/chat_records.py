"""Chat records to measure with: 2.2 kB each, of which zstd makes about a quarter, as of real ones."""

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import orjson
import zstandard

NUM_BYTES = 2200
NUM_TEXTS = 10_000  # 22 MB of them: far beyond what zstd looks back
TASKS = ["math", "code", "ocr", "chart", "chat"]


def texts(seed: int = 0) -> list[str]:
    """Sentences of words and phrases that come as often as 1 / rank, as in a language."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    often = [1 / rank for rank in range(1, 27)]
    words = ["".join(draw.choices(letters, often, k=draw.randint(2, 9))) for _ in range(20_000)]
    ranks = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    phrases = [" ".join(draw.choices(words, cum_weights=ranks, k=3)) for _ in range(5_000)]
    pool = [*words, *phrases]
    draw.shuffle(pool)
    ranks = list(accumulate(1 / (rank + 20) for rank in range(1, len(pool) + 1)))
    found = []
    for _ in range(NUM_TEXTS):
        chosen = draw.choices(pool, cum_weights=ranks, k=300)
        found.append(" ".join(chosen)[: NUM_BYTES - 250])
    return found


def records(count: int, seed: int = 0, long_numbers: bool = False) -> Iterator[dict]:
    """`count` records, no two alike; three in five show an image.

    long_numbers: ids of 23 digits and paths that hold longer ones, as data sets of the web have.
    """
    pool = texts(seed)
    draw = random.Random(seed)
    for number in range(count):
        name, image = f"bench-{number:08d}", f"images/{number}.png"
        if long_numbers:
            name = str(draw.randrange(10**22, 10**23))
            image = f"images/{draw.randrange(10**20, 10**21)}/{name}.png"
        words = pool[number % len(pool)]
        content: object = f"{words[:600]} ({number})"
        if number % 5 > 1:
            content = [
                {"type": "image", "image": image},
                {"type": "text", "text": content},
            ]
        yield {
            "id": name,
            "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": words[600:]},
            ],
            "task": TASKS[number % 5],
            "source": f"bench/{number % 7}",
        }


def write(path: Path, count: int, long_numbers: bool = False) -> Path:
    """A file of `count` records, compressed as qvl does; made once."""
    if not path.exists():
        with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as out:
            for record in records(count, long_numbers=long_numbers):
                out.write(orjson.dumps(record) + b"\n")
    return path
