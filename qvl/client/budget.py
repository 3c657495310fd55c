"""The budget of a run, in tokens."""

import threading

from qvl.errors import CheckFailed


class Budget:
    """Counts the tokens of a run, at one endpoint or several. limit: None is no limit."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.tokens = limit, 0
        self._lock = threading.Lock()

    def add(self, tokens: int) -> None:
        with self._lock:
            self.tokens += tokens

    def check(self) -> None:
        """CheckFailed where the tokens are spent."""
        if self.limit is not None and self.tokens >= self.limit:
            raise CheckFailed(
                f"--max-total-tokens {self.limit}: {self.tokens:,} tokens are spent; what was done is "
                "kept: the same command (with --resume, for -o FILE) goes on and may spend as many again"
            )
