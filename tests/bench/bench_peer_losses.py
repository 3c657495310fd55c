"""TRL's and verl's own policy losses and advantages beside ours, on random batches: largest differences.

Both packages are downloaded without their dependencies, and the statements that compute a loss are cut
out of their files and run as they stand; nothing of theirs is installed or imported.
"""

import ast
import subprocess
import sys
import zipfile
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from qvl.losses import defaults, policy
from qvl.losses.advantages import group_advantages

PACKAGES = ("trl==1.16.0", "verl==0.9.1")
BATCHES, B, T = 200, 8, 24


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The folder of both packages' files."""
    folder = tmp_path_factory.mktemp("peers")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, *PACKAGES]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip("cannot download TRL and verl")
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def executed(nodes: list[ast.stmt], namespace: dict[str, Any]) -> dict[str, Any]:
    exec(compile(ast.fix_missing_locations(ast.Module(nodes, [])), "peer", "exec"), namespace)
    return namespace


def functions(path, names: set[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Functions of a file, without their decorators and annotations."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.decorator_list, node.returns = [], None
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                argument.annotation = None
            found.append(node)
    assert {node.name for node in found} == names
    return executed(found, namespace)


def verl(folder) -> Any:
    masked = functions(
        folder / "verl/utils/torch_functional.py", {"masked_sum", "masked_mean"}, {"torch": torch}
    )

    class ActorConfig(SimpleNamespace):
        global_batch_info = {"global_batch_size": B}  # noqa: RUF012

        def get(self, name, default):
            return getattr(self, name, default)

    names = {"agg_loss", "compute_grpo_outcome_advantage", "compute_policy_loss_vanilla"}
    names |= {"compute_policy_loss_gspo", "compute_policy_loss_sapo"}
    namespace = {"torch": torch, "np": np, "defaultdict": defaultdict, "ActorConfig": ActorConfig}
    namespace |= {"AlgoConfig": type(None), "verl_F": SimpleNamespace(**masked)}
    return SimpleNamespace(**functions(folder / "verl/trainer/ppo/core_algos.py", names, namespace))


def trl_statements(folder) -> list[ast.stmt]:
    """Of GRPOTrainer._compute_loss: from the log-ratio to the mean over the batch."""
    tree = ast.parse((folder / "trl/trainer/grpo_trainer.py").read_text())
    body = next(
        node.body
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_compute_loss"
    )
    texts = [ast.unparse(node) for node in body]
    first = next(i for i, text in enumerate(texts) if text.startswith("log_ratio = "))
    last = next(i for i, text in enumerate(texts) if "['grpo', 'sapo']" in text)
    return body[first : last + 1]


def trl(statements, kind, limits, new, old, mask, advantages):
    arguments = SimpleNamespace(
        delta=None,
        use_bias_correction_kl=False,
        sapo_temperature_pos=defaults.TAU_POS,
        sapo_temperature_neg=defaults.TAU_NEG,
    )
    self = SimpleNamespace(
        args=arguments,
        loss_type="sapo" if kind == "sapo" else "grpo",
        importance_sampling_level="sequence" if kind == "gspo" else "token",
        epsilon_low=limits[0],
        epsilon_high=limits[1],
        beta=0.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        current_gradient_accumulation_steps=1,
        model=SimpleNamespace(training=True),
    )
    names = {"torch": torch, "self": self, "inputs": {}, "entropy_mask": None, "mask": mask}
    names |= {"per_token_logps": new, "old_per_token_logps": old, "advantages": advantages[:, None]}
    return executed(statements, names)["loss"]


def ours(kind, new, old, mask, advantages):
    sequences, lengths = mask.nonzero()[:, 0], mask.sum(1)
    options: dict[str, Any] = {}
    if kind == "gspo":

        def mean(values):
            sums = values.new_zeros(B).index_add(0, sequences, values)
            return (sums / lengths.clamp(min=1))[sequences]

        options["mean"] = mean
    chosen = mask.bool()
    terms = getattr(policy, kind)(new[chosen], old[chosen], advantages[sequences], **options)
    return policy.loss(terms, 1 / lengths.double()[sequences] / B)


LIMITS = {
    "sapo": (0.0, 0.0),
    "grpo": (defaults.GRPO_CLIP_LOW, defaults.GRPO_CLIP_HIGH),
    "gspo": (defaults.GSPO_CLIP_LOW, defaults.GSPO_CLIP_HIGH),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_losses(sources, kind):
    peer, statements = verl(sources), trl_statements(sources)
    low, high = LIMITS[kind]
    config = peer.ActorConfig(
        tau_pos=defaults.TAU_POS,
        tau_neg=defaults.TAU_NEG,
        clip_ratio=low,
        clip_ratio_low=low,
        clip_ratio_high=high,
    )
    theirs = getattr(peer, "compute_policy_loss_" + ("vanilla" if kind == "grpo" else kind))
    worst = dict.fromkeys(("trl", "verl"), 0.0)
    for seed in range(BATCHES):
        draw = torch.Generator().manual_seed(seed)
        new = -3 * torch.rand(B, T, dtype=torch.float64, generator=draw)
        old = new - (2 * torch.rand(B, T, dtype=torch.float64, generator=draw) - 1)  # r < e
        mask = (torch.arange(T) < torch.randint(T + 1, (B, 1), generator=draw)).double()
        mask *= torch.rand(B, T, generator=draw) < 0.8
        advantages = torch.randn(B, dtype=torch.float64, generator=draw)
        new.requires_grad_()
        losses = {
            "ours": ours(kind, new, old, mask, advantages),
            "trl": trl(statements, kind, (low, high), new, old, mask, advantages),
            "verl": theirs(
                old_log_prob=old,
                log_prob=new,
                advantages=advantages[:, None].expand(B, T),
                response_mask=mask,
                loss_agg_mode="seq-mean-token-mean",
                config=config,
            )[0],
        }
        slopes = {name: torch.autograd.grad(x, new)[0] for name, x in losses.items()}
        for name, largest in worst.items():
            apart = (losses[name] - losses["ours"]).abs()
            away = (slopes[name] - slopes["ours"]).norm() / slopes["ours"].norm()
            worst[name] = max(largest, apart.item(), away.item())
    print(
        f"\n{kind}: largest difference, absolute in the loss and relative in the gradient, {worst}"
    )
    # TRL's temperatures are in fp32; verl adds 1e-8 to a response's number of tokens.
    assert max(worst.values()) < 1e-6


def test_advantages(sources):
    peer, worst = verl(sources), 0.0
    for seed in range(BATCHES):
        draw = torch.Generator().manual_seed(seed)
        rewards = torch.rand(4, B, dtype=torch.float64, generator=draw)
        theirs, _ = peer.compute_grpo_outcome_advantage(
            token_level_rewards=rewards.view(-1, 1),
            response_mask=torch.ones(4 * B, 1),
            index=np.repeat(np.arange(4), B),
        )
        mine = [x for group in rewards.tolist() for x in group_advantages(group)]
        worst = max(worst, (theirs[:, 0] - torch.tensor(mine)).abs().max().item())
    print(f"\nadvantages: largest difference from verl, {worst:.1e}, which adds 1e-6 to std")
    assert worst < 1e-4
