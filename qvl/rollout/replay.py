"""SFT records that are learned beside what is sampled, so that what the model can do is not lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        self,
        paths: Sequence[str],
        model: Path,
        media_root: Path,
        *,
        think_tags: bool = False,
        allow_remote: bool = False,
    ) -> None:
        """UserError for files without records, and for a record whose text cannot be rendered, so that it
        does not end the run at the step that draws it."""
        self._renderer = Renderer(
            model,
            media_root=media_root,
            weight=WEIGHT,
            think_tags=think_tags,
            allow_remote=allow_remote,
        )
        self._lines = DiskList()
        for record in jsonl.read(list(paths)):
            refusal = self._renderer.refusal(record)
            if refusal:
                raise _refused(record, refusal)
            self._lines.append(jsonl.encode(record).decode())
        if not len(self._lines):
            raise UserError(f"--replay {paths[0]}: holds no records")

    def take(self, start: int, count: int, weight: float) -> list[Learnt]:
        """The `count` samples from number `start` on; the loss weights of all add up to `weight`.

        Columns: `replay`, 1 for each target token. UserError for a record whose media cannot be read, or
        that has no target.
        """
        found = []
        for place in range(start, start + count):
            record = orjson.loads(self._lines[place % len(self._lines)])
            sample = self._renderer(record)
            if isinstance(sample, Drop) or not sample.spans:
                raise _refused(
                    record, sample if isinstance(sample, Drop) else Drop("nothing-to-learn")
                )
            sample.columns = {"replay": [1.0] * sample.num_targets}
            found.append(Learnt(sample, REPLAY, place))
        total = sum((end - begin) * each for one in found for begin, end, each in one.sample.spans)
        for one in found:
            one.sample.spans = [
                (begin, end, each * weight / total) for begin, end, each in one.sample.spans
            ]
        return found


def _refused(record: dict[str, Any], drop: Drop) -> UserError:
    return UserError(f"--replay: record {record.get('id')!r}: {drop.detail or drop.reason}")
