"""Precision and recall of the rules of `qvl filter-responses` on the labelled answers, a row a rule.

    pytest tests/bench/bench_filter_quality.py --override-ini=python_files='bench_*.py' -s

tests/curate/labelled/README.md says how the answers were made. A drop is right where its reason is the
label's, or one that the label allows beside it.
"""

import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

sys.path.append(str(Path(__file__).parent.parent / "curate"))
from test_responses import sampled

from qvl.curate.responses import RULES, ResponseRules

LABELLED = Path(__file__).parent.parent / "curate" / "labelled"
PARTS = {
    "development": [
        LABELLED.parent / "responses.jsonl",
        *sorted(LABELLED.glob("development.*.jsonl")),
    ],
    "heldout": sorted(LABELLED.glob("heldout.*.jsonl")),
}


def cases(part: str) -> list[dict]:
    return [orjson.loads(line) for path in PARTS[part] for line in path.read_bytes().splitlines()]


def measured(part: str) -> tuple[dict[str, tuple[float, float, int]], list[tuple[dict, object]]]:
    """Reason -> (precision, recall, answers that have it), and the cases that went wrong."""
    rules = ResponseRules()
    right, dropped, of, found = Counter(), Counter(), Counter(), Counter()
    wrong = []
    for case in cases(part):
        (verdict,) = rules(sampled(case)).responses
        got, want = verdict.reason if verdict else "keep", case["want"]
        good = got == want or got in case.get("also", [])
        dropped[got] += 1
        right[got] += good
        of[want] += 1
        found[want] += good
        if not good:
            wrong.append((case, verdict))
    table = {}
    for reason, _ in RULES:
        table[reason] = (
            right[reason] / dropped[reason] if dropped[reason] else 1.0,
            found[reason] / of[reason] if of[reason] else 1.0,
            of[reason],
        )
    drops, goods = sum(of.values()) - dropped["keep"], sum(of.values()) - of["keep"]
    kept_badly = sum(case["want"] != "keep" and not verdict for case, verdict in wrong)
    lost = sum(case["want"] == "keep" for case, _ in wrong)
    table["any"] = ((drops - lost) / max(1, drops), (goods - kept_badly) / max(1, goods), goods)
    table["keep"] = (
        right["keep"] / max(1, dropped["keep"]),
        found["keep"] / max(1, of["keep"]),
        of["keep"],
    )
    return table, wrong


@pytest.mark.parametrize("part", PARTS)
def test_the_rules(part, request):
    table, wrong = measured(part)
    print(
        f"\n{part + ', ' + str(len(cases(part))) + ' answers':<34}{'answers':>8}{'precision':>11}{'recall':>8}"
    )
    for reason, (precision, recall, count) in table.items():
        print(f"{reason:<34}{count:>8}{precision:>11.3f}{recall:>8.3f}")
    for case, verdict in wrong if request.config.getoption("verbose") > 0 else []:
        print(case["want"], "<-", verdict, "|", case["asked"][:60], "|", case["content"][-120:])
