"""What teaches nothing is refused, with the reason; what is refused comes before any work."""

import pytest

from qvl.distill.settings import DistillationSettings, chosen, split
from qvl.errors import UserError

URL = "http://127.0.0.1:8000"


def refusal(**given) -> str:
    with pytest.raises(UserError) as caught:
        DistillationSettings(**given).check()
    return str(caught.value)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_a_truncated_top_k_is_refused_at_all_but_the_forward_kl(beta):
    assert "falls to its least" in refusal(over="top-k", tail=False, beta=beta)
    DistillationSettings(over="top-k", tail=False, beta=0.0).check()


@pytest.mark.parametrize("over", ["full", "top-k"])
def test_a_divergence_is_refused_as_an_advantage(over):
    assert "expected gradient is 0" in refusal(over=over, learn_as="advantage")


def test_the_log_ratio_is_refused_as_a_loss():
    assert "does not depend on the teacher" in refusal(over="sampled", learn_as="loss")
    DistillationSettings(over="sampled", learn_as="advantage", top_k=0).check()


def test_wrong_values_are_refused():
    assert "from 0 to 1" in refusal(beta=1.5)
    assert "--over sampled" in refusal(top_k=0)
    assert "--replay-share" in refusal(replay_share=1.0)
    assert "no such file" in refusal(replay=("absent.zst",))
    assert "needs a folder" in refusal(over="full", teachers=(URL,))
    assert "qvl serve big is one" in refusal(teachers=("big",))
    assert "a second folder" in refusal(over="full", teachers=("big", "bigger"))
    assert "[TASK=]URL" in refusal(teachers=("=big",))


def test_a_teacher_is_chosen_by_task():
    settings = DistillationSettings(teachers=(f"math={URL}", f"math={URL}1", f"{URL}?a=b"))
    assert settings.by_task == {"math": [URL, f"{URL}1"], None: [f"{URL}?a=b"]}
    tasks = list(settings.by_task)
    assert chosen("math", tasks) == "math"
    assert chosen("code", tasks) is chosen(None, tasks) is None
    with pytest.raises(UserError, match="no teacher for the task 'code'"):
        chosen("code", ["math"])
    assert split("code=/models/big") == ("code", "/models/big")
