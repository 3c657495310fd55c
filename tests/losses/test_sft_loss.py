"""The SFT loss against the plainest loop over its formula."""

import pytest
import torch

from qvl.losses.sft import sft


def test_it_equals_the_naive_loop():
    log_probs, weights = -torch.rand(7), torch.rand(7)
    total = 0.0
    for log_prob, weight in zip(log_probs.tolist(), weights.tolist(), strict=True):
        total -= weight * log_prob
    assert sft(log_probs, weights, 3.5).item() == pytest.approx(total / 3.5, rel=1e-6)


def test_with_equal_weights_it_is_the_mean():
    losses = torch.rand(9)
    assert sft(-losses, torch.ones(9), 9.0).item() == pytest.approx(losses.mean().item(), rel=1e-6)


def test_parts_of_a_batch_add_up_to_its_loss():
    log_probs, weights = -torch.rand(8), torch.rand(8)
    whole = sft(log_probs, weights, weights.sum().item())
    parts = [
        sft(log_probs[part], weights[part], weights.sum().item())
        for part in (slice(3), slice(3, 8))
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole)
