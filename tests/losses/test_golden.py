"""The golden vectors of tests/cases/losses: advantages, losses, gradients and metrics in float64."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from qvl.losses import policy
from qvl.losses.advantages import group_advantages

CASES = Path(__file__).parent.parent / "cases" / "losses"
FILES = sorted(CASES.glob("*.json"))


def flat(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor([x for row in rows for x in row], dtype=torch.float64)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_losses_give_what_the_case_expects(path):
    case = json.loads(path.read_text())
    expected, parameters = case["expected"], dict(case["parameters"])
    found = [group_advantages([each["reward"] for each in group]) for group in case["groups"]]
    for ours, theirs in zip(found, expected["advantages"], strict=True):
        for mine, expected_one in zip(ours, theirs, strict=True):
            assert (mine is None) == (expected_one is None)
            assert mine is None or mine == pytest.approx(expected_one, rel=1e-12, abs=1e-15)

    # Rows are the learnt tokens of responses with a verdict, as the trainer has them.
    known = [
        (each, advantage, gradient)
        for group, advantages, rows in zip(
            case["groups"], expected["advantages"], expected["gradient"], strict=True
        )
        for each, advantage, gradient in zip(group, advantages, rows, strict=True)
        if advantage is not None
    ]
    assert case["num_responses"] == len(known)

    def column(name):
        return flat(
            [[x for x, m in zip(e[name], e["mask"], strict=True) if m] for e, _, _ in known]
        )

    lengths = [sum(each["mask"]) for each, _, _ in known]
    sequences = torch.arange(len(known)).repeat_interleave(torch.tensor(lengths))
    advantages = torch.tensor([a for _, a, _ in known], dtype=torch.float64)[sequences]
    weights = 1 / torch.tensor(lengths, dtype=torch.float64)[sequences] / len(known)
    log_probs, old = column("log_probs").requires_grad_(), column("old_log_probs")

    def mean(values):
        sums = values.new_zeros(len(known)).index_add(0, sequences, values)
        return (sums / torch.tensor(lengths).clamp(min=1))[sequences]

    cap = parameters.pop("cap", None)
    scaled = weights
    if cap is not None:
        scaled = weights * policy.truncated_importance(old, column("engine_log_probs"), cap)
    if case["loss"] == "gspo":
        parameters["mean"] = mean
    terms = getattr(policy, case["loss"])(log_probs, old, advantages, **parameters)
    loss = policy.loss(terms, scaled)
    (gradient,) = torch.autograd.grad(loss, log_probs)
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-9)
    learnt = flat([[g for g, m in zip(g, e["mask"], strict=True) if m] for e, _, g in known])
    torch.testing.assert_close(gradient, learnt, rtol=1e-9, atol=1e-15)

    gates = parameters if case["loss"] == "sapo" else {}
    sums = policy.ratio_metrics(log_probs, old, advantages, weights, **gates)
    means = {name: (x / weights.sum()).item() for name, x in sums.items()}
    means["ratio_spread"] = policy.ratio_spread(means["ratio"], means.pop("ratio_square"))
    assert means == pytest.approx(expected["metrics"], rel=1e-9, abs=1e-12)


def test_the_files_are_what_their_script_writes():
    text = runpy.run_path(str(CASES / "make.py"))["text"]
    assert FILES
    for path in FILES:
        assert path.read_text() == text(path.stem), path.stem


def test_what_is_masked_has_no_gradient():
    for path in FILES:
        case = json.loads(path.read_text())
        for group, rows in zip(case["groups"], case["expected"]["gradient"], strict=True):
            for each, gradient in zip(group, rows, strict=True):
                assert len(gradient) == len(each["mask"])
                assert not any(g for g, m in zip(gradient, each["mask"], strict=True) if not m)
