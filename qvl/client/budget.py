"""The token budget of a run."""

import threading

from qvl.errors import CheckFailed


class Budget:
    """Counts the tokens of a run over all its endpoints. limit: None for no limit."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.tokens = limit, 0
        self._lock = threading.Lock()

    def add(self, tokens: int) -> None:
        with self._lock:
            self.tokens += tokens

    def check(self) -> None:
        """CheckFailed if the budget is spent."""
        if self.limit is not None and self.tokens >= self.limit:
            raise CheckFailed(
                f"--max-total-tokens {self.limit}: {self.tokens:,} tokens are spent; finished records are "
                "kept: the same command (with --resume, for -o FILE) continues with a new budget"
            )
