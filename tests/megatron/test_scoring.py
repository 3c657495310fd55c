"""Log-probs, entropy and top-k of many micro-batches are those of transformers at any layout."""

from typing import Any

import checkpoints
import pytest
import torch
from test_equals_transformers import build

TEMPERATURE, TOP, SEEDS = 0.7, 5, (1, 2, 3)
EXPECTED: dict = {}


def lines():
    """Packed lines with a column of token ids: the next three from each target on."""
    found = []
    for seed in SEEDS:
        line = checkpoints.pack(seed, images=seed != 2)
        places = [x for start, end, _ in line["loss_weights"] for x in range(start, end)]
        ids = [[(line["input_ids"][x] + more) % 110 for more in range(3)] for x in places]
        found.append({**line, "columns": {"asked_ids": ids}})
    return found


def scores(folder, layout):
    """Of this rank's lines, in three calls: everything, a column, and in other company."""
    from qvl.megatron import parallel, scoring

    model = build(folder, layout)
    rank, ranks = parallel.data_rank()
    mine = [
        checkpoints.batch(folder, line)
        for line in lines()[rank : len(SEEDS) // ranks * ranks : ranks]
    ]
    full = scoring.score(model, mine, len(mine), temperature=TEMPERATURE, entropy=True, top_k=TOP)
    column = scoring.score(model, iter(mine), len(mine), column="asked_ids")
    assert model.training
    return [vars(each) for each in full], [each.log_probs for each in column]


def expected(folder, kind):
    """Of every record in order: log-probs, entropy, the best, and those of the column."""
    if kind not in EXPECTED:
        model, found = checkpoints.load_reference(folder), []
        for line in lines():
            with torch.no_grad():
                logits = checkpoints.reference_logits(model, line)
            target = 0
            for start, end, _ in line["loss_weights"]:
                own = logits[start - 1 : end - 1]
                every = (own / TEMPERATURE).log_softmax(1)
                ids = torch.tensor(line["input_ids"][start:end])[:, None]
                asked = torch.tensor(line["columns"]["asked_ids"][target : target + end - start])
                target += end - start
                entropy = -(every.exp() * every).sum(1)
                best = every.topk(TOP)
                more = own.log_softmax(1).gather(1, asked)
                found.append((every.gather(1, ids)[:, 0], entropy, *best, more))
        EXPECTED[kind] = found
    return EXPECTED[kind]


@pytest.mark.parametrize(
    ("count", "kind", "layout"),
    [
        (1, "tied", "tp=1"),
        (2, "untied", "tp=2"),
        (2, "tied", "pp=2"),
        (2, "untied", "pp=2,vp=2"),  # three micro-batches, where two stages want an even number
        (2, "tied", "cp=2"),
        (2, "moe", "ep=2"),
        (8, "tied", "tp=2,pp=2,cp=2"),
    ],
)
def test_scores_of_many_micro_batches_are_those_of_transformers(
    ranks,
    folders,
    count,
    kind,
    layout,
):
    theirs = expected(folders[kind], kind)
    results = ranks(count, scores, folders[kind], layout)
    close: Any = {"rtol": 1e-5, "atol": 2e-5}
    for rank, (full, column) in enumerate(results):
        wanted = theirs
        if kind == "moe":  # whose two ranks have data of their own
            wanted = theirs[6 * rank : 6 * rank + 6]
        assert len(full) == len(column) == len(wanted)
        for mine, asked, (log_probs, entropy, values, ids, more) in zip(
            full, column, wanted, strict=True
        ):
            torch.testing.assert_close(mine["log_probs"], log_probs, **close)
            torch.testing.assert_close(mine["entropy"], entropy, **close)
            torch.testing.assert_close(mine["top_log_probs"], values, **close)
            assert torch.equal(mine["top_ids"], ids)
            torch.testing.assert_close(asked, more, **close)
