"""How hard a query is for the model that answered it: its pass rate, and how much it wrote.

Qwen3-VL keeps for the cold start what baseline models passed seldom "or generated longer, more detailed
responses" (report 4.2.2) and publishes neither bound. Of few samples a rate says little, so its Wilson
interval stands beside it.
"""

from dataclasses import dataclass

from qvl.errors import UserError
from qvl.intervals import wilson
from qvl.record import with_scores
from qvl.stage import Drop

STAGE = "filter-difficulty"


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Which records are hard enough; called on one it returns it with what was measured, or a Drop."""

    max_pass_rate: float = 0.5
    """Keep where so many pass at most (our choice)."""

    min_pass_rate: float = 0.0
    """And so many at least: over 0 it drops what nothing solves."""

    min_tokens: float | None = None
    """Or keep where the answers are so long on average, whatever passes; None is off."""

    pass_reward: float = 1.0
    """The least reward of a response that passes."""

    min_responses: int = 1
    """Fewest judged responses; with fewer a record is not told."""

    sure: bool = False
    """Compare the interval's ends in place of the rate: keep only what is surely hard."""

    def __post_init__(self) -> None:
        if self.min_pass_rate > self.max_pass_rate:
            raise UserError(
                f"--min-pass-rate {self.min_pass_rate}: is over --max-pass-rate {self.max_pass_rate}"
            )

    def measure(self, record: dict) -> dict[str, float]:
        """Of the responses that were judged: how many there are and pass, the rate, its interval.

        tokens: the mean length of all that say theirs.
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
        told = (
            f"{measured['passed']:g} of {measured['judged']:g} pass, "
            f"95 % interval {low:.2f} to {high:.2f}"
        )
        if (high if self.sure else rate) <= self.max_pass_rate:
            least = low if self.sure else rate
            return Drop("too-hard", told) if least < self.min_pass_rate else None
        tokens = measured.get("tokens", 0.0)
        if self.min_tokens is None:
            return Drop("too-easy", told)
        if tokens >= self.min_tokens:
            return None
        return Drop("too-easy", f"{told}; {tokens:.0f} tokens on average")


def _verified(response: dict) -> object:
    """What the verifier said; the reward may hold penalties too, and a right answer in the wrong
    language was right."""
    rewards, verdict = response.get("rewards"), response.get("verdict")
    if isinstance(rewards, dict) and isinstance(verdict, dict):
        return rewards.get(verdict.get("verifier"), response.get("reward"))
    return response.get("reward")


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
