"""Logic and puzzles: a response is judged by the rules of the puzzle, not by one solution of it.

The answer of the tasks `logic` and `puzzle` is one of

    a text, a number or a list of them     the final answer is one of them (qvl.reward.verifiers.exact)
    {"kind": "sudoku", "puzzle": ...}      qvl.reward.puzzles.sudoku
    {"kind": "maze", "maze": [...]}        qvl.reward.puzzles.maze
    {"kind": "zebra", "solution": {...}}   qvl.reward.puzzles.zebra
    {"dataset": NAME, "entry": {...}}      reasoning-gym's own score (qvl.reward.puzzles.gym)

The reward is 1 or 0; with --partial it is the share of right cells of a zebra puzzle, or the score of
reasoning-gym for a partly right answer.
"""

from collections.abc import Callable
from typing import Any

from qvl.reward import Unverifiable, Verdict, reference
from qvl.reward.puzzles import gym, maze, sudoku, zebra
from qvl.reward.reading.extract import final
from qvl.reward.verifiers import exact

Share = Callable[[dict, dict], float]
COMPARES_WORDS = True  # if the answer is a text
KINDS: dict[str, Share] = {"sudoku": sudoku.share, "maze": maze.share, "zebra": zebra.share}


def score(record: dict, response: dict) -> float:
    """1 if the puzzle is solved, else 0."""
    return judge(record, response).reward or 0.0


def judge(record: dict, response: dict, *, partial: bool = False, **_: Any) -> Verdict:
    """The verdict on a response; partial: reward the share that is right, if the puzzle has one.

    Unverifiable if the answer is no puzzle; TimeoutError if reasoning-gym exceeds its time limit.
    """
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
            f"answer: kind: unknown puzzle {kind!r}; known: {', '.join(KINDS)}, or use dataset"
        )
    return KINDS[kind]
