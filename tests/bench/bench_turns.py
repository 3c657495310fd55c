"""What the turns of an agent cost the local engine: with what it keeps of earlier turns, and without.

Run by `make bench`. Prints figures; never fails by time. 32 queries with a picture, 8 episodes of each, three
turns of 25 tokens; between them the result of a tool with another picture.
"""

import time
from random import Random
from statistics import median

import torch
from running import data_uri, picture

from qvl.engines.local.batch import DecodingBatch, Row
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.media import RequestMedia, known_images
from qvl.engines.local.passes.prefixes import MOST_BYTES, Prefixes
from qvl.engines.local.sampling import RowSampling

WORK = ("prepare", "prefill", "decode")
QUERIES, EPISODES, TURNS, TOKENS, ROUNDS = 32, 8, 3, 25, 3


@torch.inference_mode()
def spent(checkpoint: Checkpoint, most_bytes: int) -> dict[str, float]:
    """CPU seconds of each kind of work."""
    seconds: dict[str, float] = dict.fromkeys(WORK, 0.0)
    random, pad = Random(0), checkpoint.image_token
    batch, known = DecodingBatch(checkpoint), known_images(most_bytes // 4)
    batch.prefixes = Prefixes(most_bytes)

    def words(count: int) -> list[int]:
        return [random.randrange(10, 400) for _ in range(count)]

    def clocked(name, work, *given):
        began = time.process_time()
        done = work(*given)
        seconds[name] += time.process_time() - began
        return done

    def prepared(asked: list[tuple[list[int], list[str]]]) -> list:
        rules = checkpoint.image_rules, checkpoint.video_rules
        return [
            checkpoint.prepare(ids, images, [], RequestMedia(*rules, None, 8192, known))
            for ids, images in asked
        ]

    def steps() -> None:
        while batch.num_live:
            batch.step()

    queries = [
        ([*words(20), pad, *words(45)], [data_uri(picture(128, 96, n))]) for n in range(QUERIES)
    ]
    asked = [query for query in queries for _ in range(EPISODES)]
    for turn in range(TURNS):
        rows = [
            Row(prompt, RowSampling(seed=seed), TOKENS, None, 0, None, lambda row: None)
            for seed, prompt in enumerate(clocked("prepare", prepared, asked))
        ]
        clocked("prefill", batch.join, rows)
        clocked("decode", steps)
        asked = [
            (
                [*ids, *row.tokens, *words(15), pad, *words(4)],
                [*images, data_uri(picture(96, 96, 1000 * turn + n))],
            )
            for n, ((ids, images), row) in enumerate(zip(asked, rows, strict=True))
        ]
    return seconds


def test_turns_that_go_on(twin):
    torch.set_num_threads(1)
    checkpoint = Checkpoint(twin)
    rounds = [(spent(checkpoint, 0), spent(checkpoint, MOST_BYTES)) for _ in range(ROUNDS)]
    print(f"\n{QUERIES * EPISODES} episodes of {TURNS} turns: CPU seconds, medians of {ROUNDS}")
    for name in WORK:
        without, kept = (median(each[way][name] for each in rounds) for way in (0, 1))
        print(f"{name:<9}{without:6.2f} without, {kept:6.2f} with earlier turns kept")
    whole = [tuple(sum(each.values()) for each in pair) for pair in rounds]
    print(f"together, to without: {median(kept / without for without, kept in whole):.2f}")
