"""Turn a function of one record into a stage, and account for the run of a command.

An author writes one of four functions of a record; the function on the right makes a stage of it:

    Reject   = Callable[[dict], str | Drop | None]   a reason to drop it, or None to keep it   keep
    Annotate = Callable[[dict], dict]                the record with more fields               annotate
    Work     = Callable[[dict], dict | Drop]         either of the two                         each
    Submit   = Callable[[dict], Pending]             a result that an endpoint computes        submit_each

A function of the whole stream, Callable[[Iterable[dict]], Iterator[dict]], is a stage as it is.
"""

from qvl.stage.drop import Drop as Drop
from qvl.stage.functions import annotate as annotate
from qvl.stage.functions import each as each
from qvl.stage.functions import keep as keep
from qvl.stage.functions import submit_each as submit_each
from qvl.stage.parallel import pairs as pairs
from qvl.stage.run import Run as Run
from qvl.stage.run import parse_shard as parse_shard
from qvl.stage.run import refuse_twice as refuse_twice
