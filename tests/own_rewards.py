"""A user's own rewards, which behave as tests want."""

import time

from qvl.reward import Unverifiable


def crash(record, response):
    return 1 / 0


def sleep(record, response):
    time.sleep(600)
    return 1.0


def picky(record, response):
    raise Unverifiable("I know no flowers")


def given(record, response):
    return record["value"]


def even(record, response):
    """Half of what a random model says."""
    return float(len(response["content"]) % 2 == 0)


def none_for_short(record, response):
    if len(response["content"]) % 3 == 0:
        raise Unverifiable("I judge no such length")
    return even(record, response)


def sleep_if_asked(record, response):
    time.sleep(3 if record["id"] == "slow" else 0)
    return 1.0
