"""Which of several servers gets a request."""

from dataclasses import dataclass

from qvl.client.endpoint import HEADSTART, Sessions


@dataclass(eq=False)
class Server:
    busy: int = 0
    avoided: bool = False


def sessions() -> "Sessions[Server]":
    return Sessions(lambda server: (server.avoided, server.busy, 0))


def test_requests_of_a_session_go_to_one_server_and_others_to_the_least_busy():
    known, one, other = sessions(), Server(busy=0), Server(busy=1)
    assert known.choose([one, other], "a") is one
    one.busy = 2
    assert known.choose([one, other], "a") is one
    assert known.choose([one, other], "b") is other
    assert known.choose([one, other], None) is other


def test_a_session_leaves_a_server_that_fails_or_is_much_busier_for_good():
    for busy, avoided in ((HEADSTART + 1, False), (0, True)):
        known, one, other = sessions(), Server(), Server()
        assert known.choose([one, other], "a") is one
        one.busy, one.avoided = busy, avoided
        assert known.choose([one, other], "a") is other
        one.busy, one.avoided = 0, False
        assert known.choose([one, other], "a") is other


def test_a_session_whose_server_is_gone_goes_to_another():
    known, one, other = sessions(), Server(), Server(busy=9)
    assert known.choose([one, other], "a") is one
    assert known.choose([other], "a") is other
