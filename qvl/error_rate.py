"""When a run stops because too many verdicts could not be given: --max-error-rate, one rule for all.

A verdict is what a verifier, a judge or a reward model says of a response or a query; an error is one that
could not be given, which is never a score of 0. While a run goes on, their share counts from 10 errors on, as
that of a few says little. At the end it counts however few they are: nobody should go on with a file in
which half of the verdicts are missing because it is small.

The exit status is 3, that of data which fails a check. Status 4 would say that an endpoint is down, and a
scheduler that tries again later would meet the same errors: the endpoint does answer.
"""

from qvl.errors import CheckFailed

MAX_ERROR_RATE = 0.05  # of all verdicts: our choice
FEWEST_ERRORS = 10  # before the end of a run: our choice


class ErrorRate:
    """Counts verdicts and errors; CheckFailed where the share of the errors is over `limit`."""

    def __init__(self, limit: float = MAX_ERROR_RATE) -> None:
        self.limit, self.asked, self.errors, self.first = limit, 0, 0, ""

    def add(self, asked: int, errors: int, example: str) -> None:
        """Count `asked` more verdicts, of which `errors` could not be given, as in `example`."""
        self.asked += asked
        self.errors += errors
        if errors:
            self.first = self.first or example
            if self.errors >= FEWEST_ERRORS:
                self.check()

    def check(self) -> None:
        """CheckFailed where too many of those so far are errors; to be called at the end as well."""
        if self.errors > self.limit * self.asked:
            raise CheckFailed(
                f"no verdict on {self.errors:,} of {self.asked:,} responses, over --max-error-rate "
                f"{self.limit:g}; the first: {self.first}; what was done is kept"
            )
