"""The metrics of benchmarks: from the verdicts of a set to its figures, a measure per name.

A measure is a class with

    add(record)                 count a record whose responses have a reward
    values() -> dict            the figures by name, from 0 to 1; the first is the benchmark's
"""

from typing import Any, Protocol

from qvl.evaluate.measures.detection import MeanAveragePrecision
from qvl.evaluate.measures.sets import Accuracy, Constraints, Hallusion, Mean, Spans


class Measure(Protocol):
    def add(self, record: dict) -> None: ...

    def values(self) -> dict[str, float]: ...


MEASURES: dict[str, Any] = {
    "accuracy": Accuracy,
    "mean": Mean,
    "points": Accuracy,  # OCRBench counts right answers of 1,000
    "hallusion": Hallusion,
    "spans": Spans,
    "constraints": Constraints,
    "map": MeanAveragePrecision,
}
