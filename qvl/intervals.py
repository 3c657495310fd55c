"""95 % confidence intervals: of a rate by Wilson's score, of a mean by Student's t."""

import math

Z95 = 1.959964  # the normal distribution's 97.5 % quantile


def wilson(rate: float, count: int) -> tuple[float, float]:
    """The ends of the interval of a rate among `count` (Wilson 1927): sound for few and for 0 and 1, too."""
    square = Z95 * Z95 / count
    middle = (rate + square / 2) / (1 + square)
    half = Z95 / (1 + square) * math.sqrt(rate * (1 - rate) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def student(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, expanded about the normal's: 1 % short at 3 degrees of freedom."""
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))
