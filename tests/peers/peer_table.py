"""The table of docs/verifiers.md: qvl's verifiers beside the best public peers, case by case.

    python tests/peers/peer_table.py            prints the table, with Math-Verify's results as it gives them
    python tests/peers/peer_table.py --write    writes it into docs/verifiers.md, and those results into the cases

The cases are our own. Math-Verify runs; for the other peers the result is stored, which their functions gave:
VLMEvalKit vlmeval/utils/matching_util.py can_infer; lmms-eval lmms_eval/tasks/mmmu/utils.py
parse_multi_choice_response; evalscope evalscope/utils/multi_choices.py parse_answers; V-Triune
reward_server/verify.py, the IoU part at 0.5 by label; VisionReasoner arXiv 2505.12081, the pairing of boxes;
IFEval instruction_following_eval/instructions.py; IFBench instructions.py.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from qvl.reward.verdict import judge

CASES = Path(__file__).parent / "cases.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "verifiers.md"
BEGIN, END = "<!-- peer table -->\n", "<!-- end of peer table -->\n"
AGREE, OURS, THEIRS, OPEN = "agree", "we are right", "they are right", "open"


def cases() -> list[dict]:
    return [json.loads(line) for line in CASES.read_text().splitlines()]


def ours(case: dict) -> float | None:
    """The reward that qvl gives; None without a verdict."""
    record = {"task": case["task"], "answer": case["answer"]}
    record["messages"] = [{"role": "user", "content": case.get("question", "?")}]
    return judge(record, {"content": case["content"]}).reward


def by_math_verify(case: dict) -> float:
    import math_verify

    gold = math_verify.parse(f"${case['answer']}$", parsing_timeout=0)
    found = math_verify.parse(case["content"], parsing_timeout=0)
    return float(math_verify.verify(gold, found, timeout_seconds=None))


def verdict(case: dict, reward: float | None) -> str:
    """Who is right: the case says what is, or that it is open."""
    if reward == case["peer_reward"]:
        return AGREE
    if case["right"] is None:
        return OPEN
    return OURS if reward == case["right"] else THEIRS


def table(rows: list[tuple[dict, float | None, str]]) -> str:
    counts = Counter((case["peer"], kind) for case, _, kind in rows)
    kinds = (AGREE, OURS, THEIRS, OPEN)
    lines = [f"| Peer | {' | '.join(kinds)} |", "| --- " * 5 + "|"]
    for peer in dict.fromkeys(case["peer"] for case, _, _ in rows):
        numbers = (str(counts[peer, kind]) for kind in kinds)
        lines.append(f"| {peer} | {' | '.join(numbers)} |")
    lines += [
        "",
        "| Peer | Kind | Reference | Answer | qvl | Peer | Verdict | Why |",
        "| --- " * 8 + "|",
    ]
    for case, reward, kind in rows:
        shown = [
            _code(case["answer"]),
            _code(case["content"]),
            f"{reward:g}",
            f"{case['peer_reward']:g}",
        ]
        why = case["reason"] if kind != AGREE else ""
        lines.append(f"| {' | '.join([case['peer'], case['kind'], *shown, kind, why])} |")
    return "\n".join(lines) + "\n"


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|").replace("\n", " ⏎ ")


def judged() -> list[tuple[dict, float | None, str]]:
    return [(case, reward := ours(case), verdict(case, reward)) for case in cases()]


def main() -> None:
    found = cases()
    for case in found:
        if case["peer"] == "Math-Verify" and case["kind"] != "not evaluable":
            case["peer_reward"] = by_math_verify(case)
    if "--write" in sys.argv:
        CASES.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in found))
    rows = [(case, reward := ours(case), verdict(case, reward)) for case in found]
    text = table(rows)
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2])
    print(text)


if __name__ == "__main__":
    main()
