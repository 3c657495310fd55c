"""The rule of --max-error-rate: a run with too many errors among its verdicts stops.

A verdict is the result of a verifier, a judge or a reward model for a response or a query. An error is a
missing verdict; it is never a score of 0. During a run the rate is checked from 10 errors on, because the
rate of a few is not reliable. At the end it is checked in any case, so that a small file with half of its
verdicts missing is not accepted.

The exit status is 3, as for data that fails a check. Status 4 would mean that an endpoint is down, and a
scheduler that retries later would meet the same errors, because the endpoint does answer.
"""

from qvl.errors import CheckFailed

MAX_ERROR_RATE = 0.05  # of all verdicts: our choice
MIN_ERRORS = 10  # before the rate is checked during a run: our choice


class ErrorRate:
    """Counts verdicts and errors; CheckFailed if the rate of errors exceeds `limit`."""

    def __init__(self, limit: float = MAX_ERROR_RATE) -> None:
        self.limit, self.verdicts, self.errors, self.first = limit, 0, 0, ""

    def add(self, verdicts: int, errors: int, example: str) -> None:
        """Count further verdicts, of which `errors` are missing; example: one of these errors."""
        self.verdicts += verdicts
        self.errors += errors
        if errors:
            self.first = self.first or example
            if self.errors >= MIN_ERRORS:
                self.check()

    def check(self) -> None:
        """CheckFailed if the rate of errors so far exceeds the limit. Call it at the end, too."""
        if self.errors > self.limit * self.verdicts:
            raise CheckFailed(
                f"no verdict on {self.errors:,} of {self.verdicts:,} responses, over --max-error-rate "
                f"{self.limit:g}; the first: {self.first}; finished records are kept"
            )
