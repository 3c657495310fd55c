"""Turn a function of one record into a stage, and account for the run of a command.

An author writes one of four functions, and a stage is made of it by the function that follows:

    Reject   = Callable[[dict], str | Drop | None]          why to drop it, or None: keep
    Annotate = Callable[[dict], dict]                       the record with fields added: annotate
    Work     = Callable[[dict], dict | Drop]                either of the two: each
    Submit   = Callable[[dict], Pending]                    work that an endpoint does: submit_each

A function of the whole stream, Callable[[Iterable[dict]], Iterator[dict]], needs none of them.
"""

from qvl.stage.drop import Drop as Drop
from qvl.stage.functions import annotate as annotate
from qvl.stage.functions import each as each
from qvl.stage.functions import keep as keep
from qvl.stage.functions import submit_each as submit_each
from qvl.stage.parallel import pairs as pairs
from qvl.stage.run import Run as Run
from qvl.stage.run import parse_shard as parse_shard
