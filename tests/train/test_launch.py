"""The ranks of one machine."""

from qvl.train.launch import launch

SEES_THE_SOCKET = """
import os, socket
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["RANK"] == "0":
    listening = socket.socket(fileno=int(os.environ["QVL_LAUNCH_LISTENER"]))
    assert listening.getsockname() == address
else:
    socket.create_connection(address).close()
"""


def test_the_port_where_ranks_meet_is_taken_before_they_start():
    assert launch(2, ["-c", SEES_THE_SOCKET]) == 0


def test_the_first_status_that_is_not_0_is_that_of_the_launch():
    assert launch(2, ["-c", "import os, sys; sys.exit(3 * int(os.environ['RANK']))"]) == 3
