"""Measures over a set whose records have verdicts; the mean over a record's responses counts once."""

from collections import defaultdict
from typing import Any

from qvl.reward import RIGHT


def rewards(record: dict) -> list[float]:
    """The rewards of a record's responses that have one."""
    return [each["reward"] for each in record["responses"] if each["reward"] is not None]


def share(rewards: list[float], least: float = RIGHT) -> float:
    """The share of the rewards of `least` or more."""
    return sum(reward >= least for reward in rewards) / len(rewards)


class _Means:
    """Means of several values per record."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def _add(self, values: dict[str, float]) -> None:
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def values(self) -> dict[str, float]:
        return {name: total / self._count for name, total in self._sums.items()}


class Accuracy(_Means):
    """The share of right responses."""

    def add(self, record: dict) -> None:
        self._add({"accuracy": share(rewards(record))})


class Mean(_Means):
    """The mean reward, as for ANLS."""

    def add(self, record: dict) -> None:
        found = rewards(record)
        self._add({"mean": sum(found) / len(found)})


class Spans(_Means):
    """The mean temporal IoU of one span, and the shares of spans from an IoU on (arXiv 1705.02101)."""

    def add(self, record: dict) -> None:
        found = rewards(record)
        values = {"mIoU": sum(found) / len(found)}
        self._add(values | {f"IoU {least}": share(found, least) for least in (0.3, 0.5, 0.7)})


class Constraints:
    """IFEval's accuracies: of prompts, all of whose constraints are kept, and of constraints.

    The number of constraints that a response keeps is read from its verdict's detail, which names the
    broken ones.
    """

    def __init__(self) -> None:
        self._prompts = Accuracy()
        self._kept = self._all = 0.0

    def add(self, record: dict) -> None:
        self._prompts.add(record)
        number = len(record["answer"]["instruction_id_list"])
        judged = [each for each in record["responses"] if each["reward"] is not None]
        for response in judged:
            broken = response["verdict"]["detail"].removeprefix("not kept: ").split(", ")
            self._kept += (number - len([name for name in broken if name])) / len(judged)
            self._all += number / len(judged)

    def values(self) -> dict[str, float]:
        return {
            "prompts": self._prompts.values()["accuracy"],
            "constraints": self._kept / self._all,
        }


class Hallusion:
    """HallusionBench's aAcc, qAcc and fAcc (arXiv 2310.14566, section 3.3).

    qAcc is the share of questions that are right on every figure they are asked of, fAcc that of figures
    of which every question is right. The names are read from the copy's columns, or from VLMEvalKit's index
    CATEGORY_SUBCATEGORY_VISUAL_SET_FIGURE_QUESTION in the id.
    """

    def __init__(self) -> None:
        self._answers = Accuracy()
        self._questions: defaultdict[Any, list[bool]] = defaultdict(list)
        self._figures: defaultdict[Any, list[bool]] = defaultdict(list)

    def add(self, record: dict) -> None:
        self._answers.add(record)
        right = share(rewards(record)) >= 0.5
        group, of_set, figure, question = _place(record)
        self._questions[group, of_set, question].append(right)
        self._figures[group, of_set, figure].append(right)

    def values(self) -> dict[str, float]:
        return {
            "aAcc": self._answers.values()["accuracy"],
            "qAcc": _all_right(self._questions),
            "fAcc": _all_right(self._figures),
        }


def _place(record: dict) -> tuple[str, str, str, str]:
    """Subcategory, set, figure and question of a record."""
    group = record.get("subcategory") or record.get("l2-category") or ""
    names = ("set_id", "figure_id", "question_id")
    if all(name in record for name in names):
        return (str(group), *(str(record[name]) for name in names))  # type: ignore[return-value]
    parts = str(record.get("id")).split("_")
    return (str(group) or parts[-5] if len(parts) > 4 else str(group), *_last(parts))


def _last(parts: list[str]) -> tuple[str, str, str]:
    parts = ["", "", "", *parts]
    return parts[-3], parts[-2], parts[-1]


def _all_right(groups: dict[Any, list[bool]]) -> float:
    return sum(map(all, groups.values())) / len(groups) if groups else 0.0
