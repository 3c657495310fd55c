"""MMMU's open questions: right if the final answer equals any reference, as mathematics or as words."""

from qvl.reward import reference
from qvl.reward.verifiers import exact, mathematics


def score(record: dict, response: dict) -> float:
    """1 if the final answer equals a reference, else 0."""
    wanted = reference(record)
    each_one = wanted if isinstance(wanted, list) else [wanted]
    if exact.score({**record, "answer": each_one}, response):
        return 1.0
    return max(mathematics.score({**record, "answer": str(each)}, response) for each in each_one)


def extract(response: dict) -> object:
    return exact.final(response)
