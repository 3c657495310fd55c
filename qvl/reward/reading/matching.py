"""One-to-one matching of the things found in a response with the expected ones."""

from collections.abc import Sequence

from qvl.errors import need


def share(similarities: Sequence[Sequence[float]]) -> float:
    """The sum of the similarities of the best one-to-one pairs, over the larger number of things.

    similarities: (expected, found), from 0 to 1. Each extra or missing thing costs its share, so many
    guesses do not pay. The pairs are the assignment with the largest sum (Hungarian algorithm), as in
    VisionReasoner (arXiv 2505.12081, which divides by the larger number too); greedy matching, most
    similar pair first, may miss it. 0 if either side is empty.
    """
    expected = len(similarities)
    found = len(similarities[0]) if expected else 0
    if not found:
        return 0.0
    return min(_best(similarities, expected, found) / max(expected, found), 1.0)


def _best(similarities: Sequence[Sequence[float]], expected: int, found: int) -> float:
    if expected == 1:
        return max(similarities[0])
    if found == 1:
        return max(row[0] for row in similarities)
    optimize = need("scipy.optimize")
    matrix = need("numpy").asarray(similarities, dtype=float)
    return float(matrix[optimize.linear_sum_assignment(matrix, maximize=True)].sum())
