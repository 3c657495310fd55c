"""The advantage of each response over the others to its query (arXiv 2511.20347, section 2)."""

import math
from collections.abc import Sequence

ROUNDING = 1e-9  # rewards that differ by less of the largest are equal: parts that were added up


def group_advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """(R - mean) / std of the rewards of one query's responses, in their order.

    std divides by n - 1, as every public implementation does; nothing is added to it. Rules:
    - None is no verdict (a verifier that crashed or timed out): it is left out of mean and std, and
      its advantage is None. So is a reward that is not finite.
    - A group without spread gives no advantage: 0.0 for each verdict.
    - So does a group with one verdict.
    """
    known = [x for x in rewards if x is not None and math.isfinite(x)]
    unit = (
        max(map(abs, known), default=0.0) or 1.0
    )  # the advantage has none; squares cannot overflow
    known = [x / unit for x in known]
    mean, std = 0.0, math.inf
    if known and max(known) - min(known) > ROUNDING:
        mean = math.fsum(known) / len(known)
        std = math.sqrt(math.fsum((x - mean) ** 2 for x in known) / (len(known) - 1))
    return [
        (x / unit - mean) / std if x is not None and math.isfinite(x) else None for x in rewards
    ]
