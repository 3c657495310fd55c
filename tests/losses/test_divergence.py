"""The divergences of distillation: naive loops in float64, closed forms, TRL's formula, ranks, gradients."""

import math

import pytest
import torch
from generalized_jsd import trl
from torch import Tensor

from qvl.losses import divergence as module
from qvl.losses.divergence import divergence, log_ratio, reverse_kl_estimate, top_k_divergence
from qvl.losses.head import Vocabulary
from qvl.losses.log_probs import log_probs

ROWS, WIDTH, WIDER, VOCABULARY = 21, 8, 12, 30
THREE_ROWS = 3 * 4 * VOCABULARY  # bytes of their logits: the last of the chunks is not full
CHUNKED = Vocabulary(chunk_bytes=THREE_ROWS)
BETAS = (0.0, 0.1, 0.5, 0.9, 1.0)


def inputs(dtype=torch.float32) -> list[Tensor]:
    """Hidden states and head of a student and of a wider teacher, and the weights of a loss."""
    draw = torch.Generator().manual_seed(0)
    sizes = [(ROWS, WIDTH), (VOCABULARY, WIDTH), (ROWS, WIDER), (VOCABULARY, WIDER)]
    made = [torch.randn(size, generator=draw, dtype=torch.float64).to(dtype) for size in sizes]
    return [*made, torch.rand(ROWS, generator=draw) / ROWS]


def naive(p: list[float], q: list[float], beta: float) -> float:
    """One distribution after the other, token after token."""
    total = 0.0
    for of_teacher, of_student in zip(p, q, strict=True):
        if beta == 0:
            total += of_teacher * math.log(of_teacher / of_student) if of_teacher else 0.0
        elif beta == 1:
            total += of_student * math.log(of_student / of_teacher)
        else:
            mixed = beta * of_teacher + (1 - beta) * of_student
            if of_teacher:
                total += beta * of_teacher * math.log(of_teacher / mixed)
            total += (1 - beta) * of_student * math.log(of_student / mixed)
    return total


def gradients(hidden: Tensor, weight: Tensor, loss) -> list[Tensor]:
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    value = loss(hidden, weight)
    value.backward()
    assert hidden.grad is not None and weight.grad is not None
    return [value.detach(), hidden.grad, weight.grad]


@pytest.fixture
def products(monkeypatch):
    """Counts how often the logits of both are computed."""
    count = [0]
    plain = module._both

    def counted(*args):
        count[0] += 1
        return plain(*args)

    monkeypatch.setattr(module, "_both", counted)
    return count


@pytest.mark.parametrize("beta", BETAS)
def test_it_is_the_naive_sum_over_the_vocabulary(beta):
    hidden, weight, teacher_hidden, teacher_weight, _ = inputs(torch.float64)
    got = divergence(hidden, weight, teacher_hidden, teacher_weight, beta, None, CHUNKED)
    p = (teacher_hidden @ teacher_weight.T).softmax(1).tolist()
    q = (hidden @ weight.T).softmax(1).tolist()
    expected = torch.tensor([naive(*rows, beta) for rows in zip(p, q, strict=True)])
    torch.testing.assert_close(got, expected.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("beta", BETAS)
def test_value_and_gradient_are_those_of_trl(beta, temperature, products):
    hidden, weight, teacher_hidden, teacher_weight, weights = inputs()
    vocabulary = Vocabulary(temperature, None, THREE_ROWS)

    def mine(h, w):
        found = divergence(h, w, teacher_hidden, teacher_weight, beta, weights, vocabulary)
        return (found * weights).sum() * 3

    def theirs(h, w):
        teacher = (teacher_hidden @ teacher_weight.T).double()
        found = trl((h @ w.T).double(), teacher, beta, temperature)
        return (found * weights).sum() * 3

    for each, expected in zip(
        gradients(hidden, weight, mine), gradients(hidden, weight, theirs), strict=True
    ):
        torch.testing.assert_close(each, expected.to(each.dtype), rtol=1e-5, atol=1e-6)
    assert products == [1]


@pytest.mark.parametrize("beta", BETAS)
def test_another_use_than_the_stated_weights_has_the_right_gradient(beta, products):
    hidden, weight, teacher_hidden, teacher_weight, weights = inputs()
    teacher = teacher_hidden @ teacher_weight.T

    def mine(h, w):
        found = divergence(h, w, teacher_hidden, teacher_weight, beta, weights, CHUNKED)
        return found.square().sum()

    def theirs(h, w):
        return trl(h @ w.T, teacher, beta).square().sum()

    for each, expected in zip(
        gradients(hidden, weight, mine), gradients(hidden, weight, theirs), strict=True
    ):
        torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-4)
    assert products == [2]


def test_of_two_coins_it_is_what_the_closed_form_says():
    """P = (3/4, 1/4), Q = (1/2, 1/2): by hand."""
    one, p = torch.ones(1, 1), torch.tensor([0.75, 0.25])
    teacher, student = p.log()[:, None], torch.zeros(2, 1)
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    reverse = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    middle = 0.5 * (0.75 * math.log(1.2) + 0.25 * math.log(2 / 3))
    middle += 0.5 * (0.5 * math.log(0.8) + 0.5 * math.log(4 / 3))
    for beta, expected in ((0.0, forward), (1.0, reverse), (0.5, middle)):
        assert divergence(one, student, one, teacher, beta).item() == pytest.approx(expected)


@pytest.mark.parametrize("beta", BETAS)
def test_a_student_that_equals_its_teacher_has_no_loss_and_no_gradient(beta):
    hidden, weight, *_ = inputs()
    found = gradients(hidden, weight, lambda h, w: divergence(h, w, hidden, weight, beta).sum())
    assert all(each.abs().max() < 1e-5 for each in found)


@pytest.mark.parametrize("beta", BETAS)
def test_top_k_with_a_tail_is_the_divergence_of_what_is_left_apart(beta):
    """All tokens but those of the top-k become one; with all but one in the top-k, nothing is lost."""
    hidden, weight, teacher_hidden, teacher_weight, _ = inputs(torch.float64)
    hidden, teacher_hidden = hidden / 4, teacher_hidden / 4  # no tail below the least one
    log_q = (hidden @ weight.T).log_softmax(1)
    log_p = (teacher_hidden @ teacher_weight.T).log_softmax(1)
    for k in (4, VOCABULARY - 1):
        best, ids = log_p.topk(k)
        tail = 1 - best.exp().sum(1)
        got = top_k_divergence(log_q.gather(1, ids), best, tail, beta)
        rows = []
        for row in range(ROWS):
            p, q = best[row].exp().tolist(), log_q[row, ids[row]].exp().tolist()
            rows.append(naive([*p, 1 - sum(p)], [*q, 1 - sum(q)], beta))
        torch.testing.assert_close(got, torch.tensor(rows, dtype=torch.float64))
        whole = divergence(hidden, weight, teacher_hidden, teacher_weight, beta)
        if k == VOCABULARY - 1:
            torch.testing.assert_close(got.float(), whole, rtol=1e-4, atol=1e-5)
        else:
            assert (got.float() <= whole + 1e-6).all()


@pytest.mark.parametrize("beta", BETAS)
def test_a_teacher_or_a_student_with_nothing_left_for_the_tail_gives_finite_gradients(beta):
    log_p = torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log()
    student = torch.tensor([[0.0, 1.0, -40.0], [2.0, 1.0, 0.0]], requires_grad=True)
    found = top_k_divergence(student.log_softmax(1)[:, :2], log_p, torch.zeros(2), beta)
    found.sum().backward()
    assert found.isfinite().all() and (found >= -1e-6).all()
    assert student.grad is not None and student.grad.isfinite().all()


def test_a_truncated_top_k_teaches_with_the_forward_kl_alone():
    log_q, log_p = torch.randn(3, 4).log_softmax(1) - 1, torch.randn(3, 4).log_softmax(1) - 0.5
    expected = (log_p.exp() * (log_p - log_q)).sum(1)
    torch.testing.assert_close(top_k_divergence(log_q, log_p, None, 0.0), expected)
    for beta in BETAS[1:]:
        with pytest.raises(ValueError, match="truncated"):
            top_k_divergence(log_q, log_p, None, beta)


@pytest.mark.parametrize("beta", BETAS)
def test_stated_as_terms_of_many_tokens_its_gradient_is_computed_on_the_spot(beta, monkeypatch):
    from qvl.losses import log_probs as log_probs_module

    hidden, weight, teacher_hidden, teacher_weight, weights = inputs()
    best, ids = (teacher_hidden @ teacher_weight.T).log_softmax(1).topk(5)
    tail = 1 - best.exp().sum(1)
    count, plain = [0], log_probs_module.chunks
    monkeypatch.setattr(
        log_probs_module, "chunks", lambda *a: count.append(count.pop() + 1) or plain(*a)
    )

    def terms(found, rows):
        return top_k_divergence(found, best[rows], tail[rows], beta)

    def mine(h, w):
        found = log_probs(h, w, ids, weights, CHUNKED, terms=terms)
        return (terms(found, slice(None)) * weights).sum()

    def theirs(h, w):
        return (terms((h @ w.T).log_softmax(1).gather(1, ids), slice(None)) * weights).sum()

    for each, expected in zip(
        gradients(hidden, weight, mine), gradients(hidden, weight, theirs), strict=True
    ):
        torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-6)
    assert count == [1]


def test_the_log_ratio_of_sampled_tokens_estimates_the_reverse_kl_and_its_gradient():
    """Over all tokens, each weighed with the student's probability, the expectations are exact."""
    student = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    log_q, log_p = student.log_softmax(0), torch.tensor([0.5, 0.3, 0.2]).double().log()
    exact = (log_q.exp() * (log_q - log_p)).sum()
    (expected,) = torch.autograd.grad(exact, student, retain_graph=True)
    q, advantages = log_q.exp().detach(), log_ratio(log_q, log_p)
    assert -(q * advantages).sum().item() == pytest.approx(exact.item())
    assert (q * reverse_kl_estimate(log_q, log_p)).sum().item() == pytest.approx(exact.item())
    (found,) = torch.autograd.grad(-(q * advantages * log_q).sum(), student)
    torch.testing.assert_close(found, expected)


def shared_vocabulary() -> dict[float, list[Tensor]]:
    """What one of two ranks finds that share the vocabulary."""
    import torch.distributed as dist

    hidden, weight, teacher_hidden, teacher_weight, weights = inputs()
    mine, theirs = (each.chunk(2)[dist.get_rank()] for each in (weight, teacher_weight))
    shared = Vocabulary(1.7, dist.group.WORLD, THREE_ROWS // 2)
    found = {}
    for beta in BETAS:

        def loss(h, w, beta=beta):
            values = divergence(h, w, teacher_hidden, theirs, beta, weights, shared)
            return (values * weights).sum()

        found[beta] = gradients(hidden, mine, loss)
    return found


def test_ranks_that_share_the_vocabulary_find_what_one_alone_does(ranks):
    hidden, weight, teacher_hidden, teacher_weight, weights = inputs()
    whole = Vocabulary(1.7)
    every = ranks(2, shared_vocabulary)
    for beta in BETAS:

        def loss(h, w, beta=beta):
            values = divergence(h, w, teacher_hidden, teacher_weight, beta, weights, whole)
            return (values * weights).sum()

        value, to_hidden, to_weight = gradients(hidden, weight, loss)
        for found, share in zip(every, to_weight.chunk(2), strict=True):
            torch.testing.assert_close(found[beta][0], value)
            torch.testing.assert_close(found[beta][1], to_hidden, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found[beta][2], share, rtol=1e-5, atol=1e-6)


def test_no_target_token_is_no_loss():
    hidden, weight, teacher_hidden, teacher_weight, _ = inputs()
    found = gradients(
        hidden[:0],
        weight,
        lambda h, w: divergence(h, w, teacher_hidden[:0], teacher_weight, 0.5).sum(),
    )
    assert found[0] == 0 and not found[2].any()
