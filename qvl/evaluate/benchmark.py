"""What a benchmark is: how a copy is read, asked and scored."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark, as its file in benchmarks/ describes it."""

    name: str
    """The file's name, and the source of its records."""
    title: str
    paper: str
    """arXiv number or address."""
    kind: str
    """The form of the question and its reference: a key of qvl.evaluate.questions.KINDS."""
    verifier: str = ""
    """The task of the records, which names their verifier; each kind has a default."""
    metric: str = "accuracy"
    """A key of qvl.evaluate.measures.MEASURES."""
    prompt: str = "{question}"
    """What is asked: {question}, and {options} as a line per option."""
    open_prompt: str = ""
    """What is asked where a row has no options; by default the same."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Role -> names of the columns that may hold it, tried before the common ones."""
    keep: list[str] = field(default_factory=list)
    """Columns that the records keep, to group by or for the metric."""
    box: str = ""
    """Kind boxes: xywh or xyxy, in pixels of the image; or thousandths."""
    sampling: dict[str, float] = field(default_factory=dict)
    """What differs from the preset, such as the maximum number of tokens; told, not applied."""
    notes: str = ""
    """What is disputed, or differs from other implementations."""

    @property
    def digest(self) -> str:
        """A short hash of what decides the questions and their scores."""
        decisive = (self.kind, self.verifier, self.metric, self.prompt, self.open_prompt, self.box)
        return hashlib.sha256("\0".join(decisive).encode()).hexdigest()[:12]
