"""A teacher's top-k log-probs as text in a record: short, and quick to read.

Shapes: T tokens of a sequence, K tokens per place. A response that a teacher has scored holds

    teacher: {"name": ..., "tokenizer": digest, "k": K,
              "ids": text, "log_probs": text,        the K likeliest tokens of each place
              "tail": [T], "sampled": [T]}           of the others together; of the token itself

Log-probs are rounded to whole codes: -log p is code / 64 in `log_probs`, and code / 1024 in `tail` and
`sampled`. The K tokens of a place come by their code, then by id. A digit is one of 64 characters:

    ids         18 bits each as three planes, the high digits of all entries, then the middle, then the low
    log_probs   per place the first code, then the differences, which are small: base 32, the high digits
                first, with 32 added to every digit but the last of a number

So zstd, which codes bytes by their frequency, meets the digits of one kind together. When they are read,
the K probabilities and the tail's are scaled so that they add up to 1.
"""

from typing import Any, NamedTuple

import numpy as np

from qvl.errors import UserError

STEPS = 64  # codes per nat of the top-k: our choice, see docs/distillation.md
FINE_STEPS = 1024  # of the tail and of the token itself: two of K + 2 numbers, which cost little
DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MAX_ID = 1 << 18
MAX_CODE = 1 << 15  # 512 nats
LEAST_TAIL = 2.0**-40  # of a probability that rounding left at 0 or below


class TopK(NamedTuple):
    """What a teacher says of the T tokens of a sequence."""

    ids: np.ndarray
    """(T, K) int64: the likeliest tokens in the place of each, best first"""
    log_probs: np.ndarray
    """(T, K) float64"""
    tail: np.ndarray
    """(T,) float64: the probability of all others"""
    sampled: np.ndarray
    """(T,) float64: the log-prob of the token itself"""


class Rounding(NamedTuple):
    """What rounding did to one sequence."""

    entries: int
    error: float
    """Sum over the entries of |difference| in nats."""
    largest: float
    tokens: int
    divergence: float
    """Sum over the tokens of KL(exact || stored) over the K tokens and the tail."""


def encode(found: TopK) -> dict[str, Any]:
    """The fields k, ids, log_probs, tail and sampled. UserError for an id or a log-prob out of range."""
    ids = np.asarray(found.ids, np.int64)
    k = ids.shape[1]
    if ids.size and not (ids.min() >= 0 and ids.max() < MAX_ID):
        raise UserError(f"token id {ids.max()}: the stored form holds ids below {MAX_ID:,}")
    codes = _rounded(found.log_probs, STEPS)
    order = np.lexsort((ids, codes), axis=1)
    ids, codes = (np.take_along_axis(each, order, 1) for each in (ids, codes))
    flat = ids.ravel()
    planes = np.concatenate([flat >> 12, (flat >> 6) & 63, flat & 63])
    return {
        "k": k,
        "ids": _text(planes),
        "log_probs": _text(_variable(np.diff(codes, axis=1, prepend=0).ravel())),
        "tail": _rounded(np.log(np.maximum(found.tail, LEAST_TAIL)), FINE_STEPS).tolist(),
        "sampled": _rounded(found.sampled, FINE_STEPS).tolist(),
    }


def decode(fields: dict[str, Any]) -> TopK:
    """The arrays of what `encode` returned. UserError where the text is not whole."""
    k, tokens = fields["k"], len(fields["tail"])
    tail = np.exp(-np.asarray(fields["tail"], np.float64) / FINE_STEPS)
    sampled = -np.asarray(fields["sampled"], np.float64) / FINE_STEPS
    try:
        high, middle, low = _digits(fields["ids"]).astype(np.int64).reshape(3, tokens, k)
        codes = _whole(_digits(fields["log_probs"])).reshape(tokens, k).cumsum(1)
    except ValueError:
        raise UserError(f"a teacher's log-probs are damaged: not {k} for {tokens} tokens") from None
    log_probs = -codes / STEPS
    total = np.exp(log_probs).sum(1) + tail if k else np.ones_like(tail)
    log_probs -= np.log(total)[:, None]
    tail /= total
    return TopK((high << 12) | (middle << 6) | low, log_probs, tail, sampled)


def rounding(exact: TopK, fields: dict[str, Any]) -> Rounding:
    """How far what is stored is from the teacher's own."""
    stored = decode(fields)
    order, other = np.argsort(exact.ids, 1), np.argsort(stored.ids, 1)
    ours, theirs = (
        np.take_along_axis(each, by, 1)
        for each, by in ((exact.log_probs, order), (stored.log_probs, other))
    )
    error = np.abs(ours - theirs)
    tail = np.maximum(exact.tail, LEAST_TAIL)
    divergence = (np.exp(ours) * (ours - theirs)).sum() + (tail * np.log(tail / stored.tail)).sum()
    largest = float(error.max(initial=0.0))
    return Rounding(error.size, float(error.sum()), largest, len(tail), float(divergence))


def of_arrays(ids: Any, log_probs: Any, sampled: Any) -> TopK:
    """ids, log_probs: (T, K), or empty for no K. sampled: (T,). The tail is what is left of 1."""
    own = np.asarray(sampled, np.float64)
    shape = len(own), len(ids[0]) if len(ids) else 0
    top = np.asarray(log_probs, np.float64).reshape(shape)
    return TopK(np.asarray(ids, np.int64).reshape(shape), top, 1 - np.exp(top).sum(1), own)


def _rounded(log_probs: Any, steps: int) -> np.ndarray:
    codes = np.rint(-np.asarray(log_probs, np.float64) * steps)
    if not np.isfinite(codes).all():
        raise UserError("a teacher's log-prob is not finite")
    # A rounding error may leave a log-prob above 0.
    return codes.clip(0, MAX_CODE * steps // STEPS - 1).astype(np.int64)


def _variable(numbers: np.ndarray) -> np.ndarray:
    """Numbers below 2^15 as one to three digits each."""
    lengths = 1 + (numbers >= 1 << 5) + (numbers >= 1 << 10)
    ends = lengths.cumsum()
    digits = np.empty(ends[-1] if len(ends) else 0, np.int64)
    for back in range(3):
        longer = lengths > back
        more = 32 if back else 0
        digits[ends[longer] - 1 - back] = ((numbers[longer] >> 5 * back) & 31) + more
    return digits


def _whole(digits: np.ndarray) -> np.ndarray:
    """The numbers of what `_variable` returned."""
    last = digits < 32
    if len(digits) and not last[-1]:
        raise ValueError
    number = np.concatenate([[0], last.cumsum()[:-1]]) if len(digits) else digits
    ends = np.flatnonzero(last)
    shift = 5 * (ends[number] - np.arange(len(digits)))
    found = np.zeros(len(ends), np.int64)
    np.add.at(found, number, (digits.astype(np.int64) & 31) << shift)
    return found


def _text(digits: np.ndarray) -> str:
    return np.frombuffer(DIGITS, np.uint8)[digits].tobytes().decode()


def _digits(text: str) -> np.ndarray:
    """UserError for a character that is no digit."""
    found = _VALUES[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
    if (found < 0).any():
        raise UserError("a teacher's log-probs are damaged: a character that is no digit")
    return found


_VALUES = np.full(256, -1, np.int8)
_VALUES[np.frombuffer(DIGITS, np.uint8)] = np.arange(64)
