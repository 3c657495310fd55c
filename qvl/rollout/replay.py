"""SFT records that are learned beside what is sampled, so that what the model can do is not lost."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.io.disk_list import DiskList
from qvl.pack.render import Renderer
from qvl.rollout.minibatches import Learnt
from qvl.stage import Drop

WEIGHT = "sqrt"  # 1/sqrt(n) per token of an answer of n: one word counts beside a box. Our choice
REPLAY = -1  # the number of the record that a replayed sample has in its step


class Replay:
    """Records in the order of their files, again and again; they wait in $TMPDIR."""

    def __init__(
        self, paths: Sequence[str], model: Path, media_root: Path, *, allow_remote: bool = False
    ) -> None:
        """UserError where a file holds no record that ends in an answer."""
        self._renderer = Renderer(
            model, media_root=media_root, weight=WEIGHT, allow_remote=allow_remote
        )
        self._lines = DiskList()
        for record in jsonl.read(list(paths)):
            self._lines.append(jsonl.encode(record).decode())
        if not len(self._lines):
            raise UserError(f"--replay {paths[0]}: holds no records")

    def take(self, start: int, count: int, weight: float) -> list[Learnt]:
        """The `count` samples from number `start` on; the loss weights of all add up to `weight`.

        Columns: `replay`, 1 for each target token. UserError for a record that cannot be rendered.
        """
        found = []
        for place in range(start, start + count):
            record = orjson.loads(self._lines[place % len(self._lines)])
            sample = self._renderer(record)
            if isinstance(sample, Drop) or not sample.spans:
                reason = sample.detail or sample.reason if isinstance(sample, Drop) else "no answer"
                raise UserError(
                    f"--replay: record {record.get('id')!r}: {reason}; expected SFT records, that end "
                    "in an assistant turn"
                )
            sample.columns = {"replay": [1.0] * sample.num_targets}
            found.append(Learnt(sample, REPLAY, place))
        total = sum((end - begin) * each for one in found for begin, end, each in one.sample.spans)
        for one in found:
            one.sample.spans = [
                (begin, end, each * weight / total) for begin, end, each in one.sample.spans
            ]
        return found
