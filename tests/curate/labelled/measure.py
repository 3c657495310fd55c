"""Precision and recall of the rules of `qvl filter-responses` on the labelled answers, a row a rule.

    python tests/curate/labelled/measure.py [--wrong]

README.md says how the answers were made. A drop is right where its reason is the label's, or one that
the label allows beside it ("also").
"""

import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import orjson

from qvl.curate.rules.responses import RULES, ResponseRules
from qvl.stage import Drop

HERE = Path(__file__).parent
PARTS = {
    "development": [
        HERE.parent / "rules" / "responses.jsonl",
        *sorted(HERE.glob("development.*.jsonl")),
    ],
    "heldout": sorted(HERE.glob("heldout.*.jsonl")),
}


class Row(NamedTuple):
    precision: float  # of what was dropped for the reason
    recall: float  # of what has it
    answers: int  # that have it


def cases(part: str) -> list[dict]:
    return [orjson.loads(line) for path in PARTS[part] for line in path.read_bytes().splitlines()]


def record(case: dict) -> dict:
    """A record with the case's answer among its `responses`."""
    asked = [{"type": "image", "image": "a.png"}] * case.get("images", 0)
    asked.append({"type": "text", "text": case["asked"]})
    response = {"content": case["content"], "finish_reason": case.get("finish_reason", "stop")}
    if "reasoning" in case:
        response["reasoning_content"] = case["reasoning"]
    if "calls" in case:
        response["tool_calls"] = [{"type": "function", "function": {"name": "weather"}}]
    fields = {name: case[name] for name in ("task", "answer") if name in case}
    return {
        "id": "a",
        "messages": [{"role": "user", "content": asked}],
        "responses": [response],
        **fields,
    }


def measured(part: str) -> tuple[dict[str, Row], list[tuple[dict, Drop | None]]]:
    """Reason -> row, with "any" for all of them and "keep"; and the cases that went wrong."""
    rules = ResponseRules()
    right, given, of, found = Counter(), Counter(), Counter(), Counter()
    wrong = []
    for case in cases(part):
        (verdict,) = rules(record(case)).responses
        got, want = verdict.reason if verdict else "keep", case["want"]
        good = got == want or got in case.get("also", [])
        for counter, name, value in (
            (given, got, 1), (right, got, good), (of, want, 1), (found, want, good),
            (given, "any", got != "keep"), (right, "any", got != "keep" and want != "keep"),
            (of, "any", want != "keep"), (found, "any", got != "keep" and want != "keep"),
        ):  # fmt: skip
            counter[name] += value
        if not good:
            wrong.append((case, verdict))
    names = [*(reason for reason, _ in RULES), "any", "keep"]
    rows = {
        name: Row(
            right[name] / given[name] if given[name] else 1.0,
            found[name] / of[name] if of[name] else 1.0,
            of[name],
        )
        for name in names
    }
    return rows, wrong


def main() -> None:
    for part in PARTS:
        rows, wrong = measured(part)
        head = f"{part}, {len(cases(part))} answers"
        print(f"{head:<28}{'answers':>8}{'precision':>11}{'recall':>8}")
        for reason, row in rows.items():
            print(f"{reason:<28}{row.answers:>8}{row.precision:>11.3f}{row.recall:>8.3f}")
        for case, verdict in wrong if "--wrong" in sys.argv else []:
            print(
                f"{case['want']} <- {verdict} | {case['asked'][:60]} | {case['content'][-100:]!r}"
            )
        print()


if __name__ == "__main__":
    main()
