"""20,000 broken inputs each for the media loader, the client's reader and the local engine's routes.

    FUZZ_INPUTS=2000 FUZZ_SEED=7 pytest tests/bench/bench_fuzz.py -s

`make test` tries some hundreds. Unlike the other benchmarks it fails: where a broken input is a traceback.
"""

import os
import random
import time
import warnings

import fuzzed
import fuzzed_answers
import fuzzed_requests
import pytest
from served import Served

from qvl.media import images, video
from qvl.media.errors import MediaError

COUNT = int(os.environ.get("FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", str(random.SystemRandom().randrange(1 << 30))))


@pytest.fixture(autouse=True)
def told():
    print(f"\nseed {SEED}, {COUNT:,} inputs")
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.0f} s")


def decoded(files, decode):
    """How many broken files are decoded; the others are errors of one line."""
    choose, count = random.Random(SEED), 0
    for number in range(COUNT):
        content = fuzzed.mutated(choose.choice(files), choose)
        try:
            with warnings.catch_warnings(action="ignore"):
                decode(content)
        except MediaError as error:
            assert "\n" not in str(error), (number, error)
        else:
            count += 1
    return count


def test_images():
    count = decoded(fuzzed.image_files(), lambda content: images.decode(content, "x"))
    print(f"images: {count:,} decoded, {COUNT - count:,} errors of one line")


def test_videos():
    count = decoded(fuzzed.video_files(), lambda content: video.decode(content, "x", video.unseen))
    print(f"videos: {count:,} decoded, {COUNT - count:,} errors of one line")


def test_answers_to_the_client():
    print("answers:", dict(fuzzed_answers.outcomes(COUNT, SEED)))


def test_requests_to_the_local_engine(twin, media):
    server = Served(twin, "--port", 0, "--media-root", media, "--max-model-len", 192)
    try:
        print("requests:", dict(fuzzed_requests.answers(server.url, COUNT, SEED)))
    finally:
        _, errors = server.stop()
    assert "Traceback" not in errors, errors[-3000:]
