"""The generalised Jensen-Shannon divergence as a peer computes it, over whole logits."""

import torch
from torch import Tensor


def trl(student: Tensor, teacher: Tensor, beta: float, temperature: float = 1.0) -> Tensor:
    """TRL's generalized_jsd_loss (GKDTrainer), before its reduction: by kl_div over log-probs."""
    student = torch.nn.functional.log_softmax(student / temperature, -1)
    teacher = torch.nn.functional.log_softmax(teacher / temperature, -1)
    kl = torch.nn.functional.kl_div  # kl_div(log q, log p) = sum p (log p - log q)
    if beta == 0:
        return kl(student, teacher, reduction="none", log_target=True).sum(-1)
    if beta == 1:
        return kl(teacher, student, reduction="none", log_target=True).sum(-1)
    share = torch.tensor(beta, dtype=student.dtype)
    mixed = torch.logsumexp(
        torch.stack([student + torch.log(1 - share), teacher + torch.log(share)]), 0
    )
    of_teacher = kl(mixed, teacher, reduction="none", log_target=True)
    of_student = kl(mixed, student, reduction="none", log_target=True)
    return (share * of_teacher + (1 - share) * of_student).sum(-1)
