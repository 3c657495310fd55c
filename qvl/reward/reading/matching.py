"""Things that were found against those that are expected, one to one."""

from collections.abc import Sequence

from qvl.errors import need


def share(similarities: Sequence[Sequence[float]]) -> float:
    """Similarities (expected, found) from 0 to 1, summed over the best pairs, over the larger number.

    So each thing too many or too few costs its share, and a flood of guesses does not pay. The pairs
    are the assignment of largest sum (Hungarian algorithm), as in VisionReasoner (arXiv 2505.12081,
    which divides by the larger number too); taking the most similar pair first may miss it. Among
    assignments of equal sum it does not matter which. 0 where either side is empty.
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
    optimize = need("scipy.optimize", extra="reward")
    matrix = need("numpy", extra="reward").asarray(similarities, dtype=float)
    return float(matrix[optimize.linear_sum_assignment(matrix, maximize=True)].sum())
