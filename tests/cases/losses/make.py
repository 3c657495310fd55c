"""Write the golden vectors of the policy losses beside this file; see README.md.

Plain loops over the papers' formulas in decimals of 50 digits. Nothing but Python's own library.
"""

import json
import random
from decimal import Decimal, getcontext
from pathlib import Path

getcontext().prec = 50
ONE = Decimal(1)
SAPO = {"tau_pos": 1.0, "tau_neg": 1.05}
GRPO = {"clip_low": 0.2, "clip_high": 0.27}
GSPO = {"clip_low": 3e-4, "clip_high": 4e-4}
METRICS = ("share", "ratio", "square", "ratio_outside", "gate")


def clamped(x, low, high):
    return min(max(x, Decimal(low)), Decimal(high))


def advantages(rewards):
    """(R - mean) / std of the verdicts of a group; 0 without spread or with one of them."""
    known = [Decimal(x) for x in rewards if x is not None]
    if len(set(known)) < 2:
        return [None if x is None else Decimal(0) for x in rewards]
    mean = sum(known, Decimal(0)) / len(known)
    std = (sum(((x - mean) ** 2 for x in known), Decimal(0)) / (len(known) - 1)).sqrt()
    return [None if x is None else (Decimal(x) - mean) / std for x in rewards]


def soft(ratio, advantage, tau_pos, tau_neg):
    """SAPO's term by the ratio, and its derivative by log pi."""
    tau = Decimal(tau_pos if advantage > 0 else tau_neg)
    p = ONE / (ONE + (-tau * (ratio - 1)).exp())
    return 4 * p / tau * advantage, 4 * p * (1 - p) * ratio * advantage


def hard(ratio, advantage, clip_low, clip_high):
    """The term of GRPO and GSPO, and its derivative by log pi."""
    low, high = 1 - Decimal(clip_low), 1 + Decimal(clip_high)
    term = min(ratio * advantage, clamped(ratio, low, high) * advantage)
    inside = ratio <= high if advantage > 0 else ratio >= low
    return term, ratio * advantage if inside else Decimal(0)


def response(case, given, advantage):
    """By learnt token: term, derivative by its log-prob, ratio and gate. For GSPO the derivative of
    the response's term by each of its |y| log-probs, times |y|."""
    pairs = list(zip(given["log_probs"], given["old_log_probs"], strict=True))
    logs = [Decimal(new) - Decimal(old) for new, old in pairs]
    learnt = [t for t, mask in enumerate(given["mask"]) if mask]
    limited = {t: clamped(logs[t], -20, 20) for t in learnt}
    parameters = {k: v for k, v in case["parameters"].items() if k != "cap"}
    found = {}
    for t in learnt:
        ratio = limited[t].exp()
        if case["loss"] == "gspo":
            sequence = (sum(limited.values(), Decimal(0)) / len(learnt)).exp()
            term, slope = hard(sequence, advantage, **parameters)
        else:
            term, slope = (soft if case["loss"] == "sapo" else hard)(ratio, advantage, **parameters)
        if abs(logs[t]) > 20:
            slope = Decimal(0)
        if "cap" in case["parameters"]:
            gap = Decimal(given["old_log_probs"][t]) - Decimal(given["engine_log_probs"][t])
            correction = min(clamped(gap, -20, 20).exp(), Decimal(case["parameters"]["cap"]))
            term, slope = correction * term, correction * slope
        temperatures = parameters if case["loss"] == "sapo" else SAPO
        _, gate = soft(ratio, advantage or -ONE, **temperatures)
        found[t] = term, slope, ratio, gate / ratio / (advantage or -ONE)
    return found


def solve(case):
    """The case with what is expected of it."""
    count = sum(each["reward"] is not None for group in case["groups"] for each in group)
    loss, metrics = Decimal(0), dict.fromkeys(METRICS, Decimal(0))
    all_advantages, gradient = [], []
    for group in case["groups"]:
        found = advantages([each["reward"] for each in group])
        all_advantages.append([None if x is None else float(x) for x in found])
        rows = []
        for given, advantage in zip(group, found, strict=True):
            row = [Decimal(0)] * len(given["log_probs"])
            tokens = {} if advantage is None else response(case, given, advantage)
            for t, (term, slope, ratio, gate) in tokens.items():
                share = ONE / len(tokens) / count
                loss -= share * term
                row[t] = -share * slope
                metrics["share"] += share
                metrics["ratio"] += share * ratio
                metrics["square"] += share * (ratio - 1) ** 2
                metrics["ratio_outside"] += share * (abs(ratio - 1) > Decimal("0.2"))
                metrics["gate"] += share * gate
            rows.append([float(x) for x in row])
        gradient.append(rows)
    total = metrics.pop("share")
    metrics = {name: x / total for name, x in metrics.items()}
    square = metrics.pop("square")
    metrics["ratio_spread"] = max(Decimal(0), square - (metrics["ratio"] - 1) ** 2).sqrt()
    return {
        **case,
        "num_responses": count,
        "expected": {
            "advantages": all_advantages,
            "loss": float(loss),
            "gradient": gradient,
            "metrics": {name: float(x) for name, x in sorted(metrics.items())},
        },
    }


def drawn(rng, reward, length, spread, holes=0.0, padding=0, engine=False):
    """A response of random log-probs, of few digits so that every machine reads the same."""
    size = length + padding
    new = [round(-3 * rng.random() ** 2 - 0.001, 4) for _ in range(size)]
    made = {
        "reward": reward,
        "log_probs": new,
        "old_log_probs": [round(min(x + spread * (2 * rng.random() - 1), 0), 4) for x in new],
        "mask": [int(t < length and rng.random() >= holes) for t in range(size)],
    }
    if engine:
        made["engine_log_probs"] = [
            round(x + 0.2 * (2 * rng.random() - 1), 4) for x in made["old_log_probs"]
        ]
    return made


def ragged(seed, spread, **options):
    """Two groups of different lengths; a response without a token, one without a verdict, a group
    without spread and a group of one."""
    rng = random.Random(seed)
    draw = lambda reward, length, **more: drawn(rng, reward, length, spread, **options, **more)  # noqa: E731
    return [
        [draw(1.0, 7), draw(0.0, 3), draw(0.25, 1), draw(0.0, 0), draw(None, 4)],
        [draw(1.0, 2), draw(0.0, 12), draw(1.0, 5)],
        [draw(1.0, 3), draw(1.0, 6)],
        [draw(0.5, 4)],
    ]


def on_policy(groups):
    """The first mini-batch after sampling: the policy is the old one."""
    for group in groups:
        for each in group:
            each["old_log_probs"] = list(each["log_probs"])
    return groups


def extreme():
    """Tokens whose probability rose or fell by more than fp32, or even float64, can hold."""
    rows = [
        (-0.5, -0.5),
        (-0.1, -35.0),
        (-35.0, -0.1),
        (-0.2, -800.0),
        (-800.0, -0.2),
        (-3.0, -0.5),
    ]
    rows += [(-0.1, -19.0), (-19.0, -0.1), (-900.0, -900.0)]
    new, old = ([row[i] for row in rows] for i in (0, 1))
    made = {"log_probs": new, "old_log_probs": old, "mask": [1] * len(rows)}
    return [[{"reward": 1.0, **made}, {"reward": 0.0, **made}, {"reward": 0.0, **made}]]


CASES = {
    "sapo-on-policy": ("sapo", SAPO, on_policy(ragged(1, 0.0))),
    "sapo": ("sapo", SAPO, ragged(2, 0.8)),
    "sapo-other-temperatures": ("sapo", {"tau_pos": 2.0, "tau_neg": 0.5}, ragged(3, 0.8)),
    "sapo-holes-and-padding": ("sapo", SAPO, ragged(4, 0.8, holes=0.4, padding=2)),
    "sapo-extreme": ("sapo", SAPO, extreme()),
    "sapo-truncated-importance": ("sapo", {**SAPO, "cap": 1.1}, ragged(5, 0.8, engine=True)),
    "grpo-on-policy": ("grpo", GRPO, on_policy(ragged(1, 0.0))),
    "grpo": ("grpo", GRPO, ragged(6, 0.8)),
    "grpo-holes-and-padding": ("grpo", GRPO, ragged(7, 0.8, holes=0.4, padding=2)),
    "grpo-extreme": ("grpo", GRPO, extreme()),
    "gspo-on-policy": ("gspo", GSPO, on_policy(ragged(1, 0.0))),
    "gspo": ("gspo", GSPO, ragged(8, 0.002)),
    "gspo-wide-clip": ("gspo", {"clip_low": 0.1, "clip_high": 0.15}, ragged(9, 0.8)),
    "gspo-holes-and-padding": ("gspo", GSPO, ragged(10, 0.002, holes=0.4, padding=2)),
}


def text(name):
    """The file of a case."""
    loss, parameters, groups = CASES[name]
    case = solve({"loss": loss, "parameters": parameters, "groups": groups})
    return json.dumps(case, indent=1, allow_nan=False) + "\n"


if __name__ == "__main__":
    for name in CASES:
        (Path(__file__).parent / f"{name}.json").write_text(text(name))
