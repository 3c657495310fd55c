"""Logic and puzzles: what is right is told by the puzzle, not by one solution of it.

The answer of the tasks `logic` and `puzzle` says which puzzle it is:

    a text, a number or a list of them     the final answer is it (qvl.reward.verifiers.exact)
    {"kind": "sudoku", "puzzle": ...}       qvl.reward.puzzles.sudoku
    {"kind": "maze", "maze": [...]}         qvl.reward.puzzles.maze
    {"kind": "zebra", "solution": {...}}    qvl.reward.puzzles.zebra
    {"dataset": NAME, "entry": {...}}       reasoning-gym's own score (qvl.reward.puzzles.gym)

1 or 0; with --partial the share of a zebra puzzle's cells that are right, and what reasoning-gym gives
for less than a whole answer.
"""

from collections.abc import Callable
from typing import Any

from qvl.reward import Unverifiable, Verdict, reference
from qvl.reward.puzzles import gym, maze, sudoku, zebra
from qvl.reward.reading.extract import final
from qvl.reward.verifiers import exact

Share = Callable[[dict, dict], float]
COMPARES_WORDS = True  # where the answer is a text
KINDS: dict[str, Share] = {"sudoku": sudoku.share, "maze": maze.share, "zebra": zebra.share}


def score(record: dict, response: dict) -> float:
    """1 where the puzzle is solved, else 0."""
    return judge(record, response).reward or 0.0


def judge(record: dict, response: dict, *, partial: bool = False, **_: Any) -> Verdict:
    """partial: give the share that is right, where there is one. Unverifiable where the answer is
    no puzzle; TimeoutError where reasoning-gym takes too long."""
    answer = reference(record)
    if isinstance(answer, dict):
        share = _share(answer)(answer, response)
    else:
        share = exact.score(record, response)
    return Verdict("ok", share if partial else float(share == 1), final(response))


def _share(answer: dict) -> Share:
    if "dataset" in answer:
        return gym.share
    kind = answer.get("kind")
    if kind not in KINDS:
        raise Unverifiable(
            f"answer: no puzzle of kind {kind!r}; known: {', '.join(KINDS)}, dataset"
        )
    return KINDS[kind]
