"""The reward of one response, for tests."""

from qvl.reward import Unverifiable
from qvl.reward.verdict import judge, unverifiable


def verify(record, response, verifier=None):
    """The reward; Unverifiable for a record that cannot be judged. Any other failure fails the test."""
    reason = unverifiable(record, verifier)
    if reason:
        raise Unverifiable(reason)
    found = judge(record, response, verifier)
    assert found.reward is not None, found
    return found.reward
