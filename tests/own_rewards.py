"""A user's own rewards, which behave as tests want."""

import time

from qvl.reward import Unverifiable


def crash(record, response):
    return 1 / 0


def sleep(record, response):
    time.sleep(8)
    return 1.0


def picky(record, response):
    raise Unverifiable("I know no flowers")


def given(record, response):
    return record["value"]
