"""How hard a query is for the model that answered it: its pass rate, and how much it wrote.

Qwen3-VL keeps for the cold start what baseline models passed seldom "or generated longer, more detailed
responses" (report 4.2.2) and publishes neither bound. A rate of few samples is uncertain, so its Wilson
interval is given as well.
"""

from dataclasses import dataclass

from qvl.errors import UserError
from qvl.intervals import wilson
from qvl.record import with_scores
from qvl.stage import Drop

STAGE = "filter-difficulty"


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Called on a record it returns it with its measures, or a Drop if it is not hard enough."""

    max_pass_rate: float = 0.5
    """Maximum pass rate of a query that is kept (our choice)."""

    min_pass_rate: float = 0.0
    """Minimum pass rate; over 0 it drops what is never solved."""

    min_tokens: float | None = None
    """Keep queries with responses of this mean length whatever their pass rate; None: never."""

    pass_reward: float = 1.0
    """Minimum reward of a response that passes."""

    min_responses: int = 1
    """Minimum number of judged responses; a record with fewer is dropped."""

    sure: bool = False
    """Compare the ends of the interval in place of the rate: keep what is hard with confidence."""

    def __post_init__(self) -> None:
        if self.min_pass_rate > self.max_pass_rate:
            raise UserError(
                f"--min-pass-rate {self.min_pass_rate}: exceeds --max-pass-rate {self.max_pass_rate}"
            )

    def measure(self, record: dict) -> dict[str, float]:
        """The number of judged responses and of those that pass, the rate and its interval.

        tokens: the mean length of the responses whose length is known.
        """
        responses = [one for one in record.get("responses") or [] if isinstance(one, dict)]
        rewards = [reward for one in responses if (reward := _number(_verified(one))) is not None]
        lengths = [count for one in responses if (count := _number(one.get("num_tokens")))]
        passed = sum(reward >= self.pass_reward for reward in rewards)
        measured: dict[str, float] = {"judged": len(rewards), "passed": passed}
        if rewards:
            low, high = wilson(passed / len(rewards), len(rewards))
            rate = round(passed / len(rewards), 4)
            measured |= {"pass_rate": rate, "low": round(low, 4), "high": round(high, 4)}
        if lengths:
            measured["tokens"] = round(sum(lengths) / len(lengths), 1)
        return measured

    def __call__(self, record: dict) -> dict | Drop:
        measured = self.measure(record)
        if measured["judged"] < self.min_responses:
            return Drop("not-judged", f"{measured['judged']:g} of {self.min_responses} responses")
        drop = self._verdict(measured)
        if drop is not None:
            return drop
        return with_scores(record, STAGE, measured)

    def _verdict(self, measured: dict[str, float]) -> Drop | None:
        rate, low, high = measured["pass_rate"], measured["low"], measured["high"]
        rates = (
            f"{measured['passed']:g} of {measured['judged']:g} pass, "
            f"95 % interval {low:.2f} to {high:.2f}"
        )
        if (high if self.sure else rate) <= self.max_pass_rate:
            least = low if self.sure else rate
            return Drop("too-hard", rates) if least < self.min_pass_rate else None
        tokens = measured.get("tokens", 0.0)
        if self.min_tokens is None:
            return Drop("too-easy", rates)
        if tokens >= self.min_tokens:
            return None
        return Drop("too-easy", f"{rates}; {tokens:.0f} tokens on average")


def _verified(response: dict) -> object:
    """The verifier's reward alone: `reward` may include penalties, and a right answer in the wrong
    language is right."""
    rewards, verdict = response.get("rewards"), response.get("verdict")
    if isinstance(rewards, dict) and isinstance(verdict, dict):
        return rewards.get(verdict.get("verifier"), response.get("reward"))
    return response.get("reward")


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
