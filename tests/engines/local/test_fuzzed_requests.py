"""Odd requests by the thousand: `make bench` sends 20,000, this test some of them."""

import fuzzed_requests
from served import Served


def test_an_odd_request_is_no_bug_of_the_engine(twin, media):
    server = Served(twin, "--port", 0, "--media-root", media, "--max-model-len", 192)
    try:
        statuses = fuzzed_requests.answers(server.url, 600, seed=23)
    finally:
        _, errors = server.stop()
    assert "Traceback" not in errors
    assert statuses[200] > 50 and statuses[400] > 100, statuses
