"""Packing 1.2 million records, as many as the report's SFT data has, to 32,768 tokens by their lengths.

Lengths are log-normal, median 665 tokens. In processor time; memory is what the packing added.
"""

import math
import random
import resource
import time

from qvl.pack import bins

RECORDS, CONTEXT = 1_200_000, 32_768


def test_packing_by_lengths():
    draw = random.Random(0)
    lengths = [min(CONTEXT, max(16, int(math.exp(draw.gauss(6.5, 1.3))))) for _ in range(RECORDS)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    packs = sum(1 for _ in bins.pack(enumerate(lengths), CONTEXT))
    seconds = time.process_time() - started
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    share = sum(lengths) / (packs * CONTEXT)
    print(f"\n{RECORDS:,} records in {packs:,} packs, {share:.4%} full: {seconds:.2f} s", end="")
    print(f", {more / 1024:.0f} MB more at the peak")
