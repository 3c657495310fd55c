import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from qvl.agent.reward import W_CALLS
from qvl.errors import UserError
from qvl.jobs import rl
from qvl.reward import hybrid
from qvl.rollout import settings as defaults
from qvl.rollout.settings import LOSSES, PolicySettings, RewardSettings

from ..agent_options import EpisodeOptions, ToolOptions
from ..endpoint_options import JudgeOptions, RewardModelOptions
from ..groups import without
from ..on_policy import LoopOptions, Minibatches, Queries, TrainingOptions
from ..options import MediaOptions
from ..training import train


def command(
    media: MediaOptions,
    judges: JudgeOptions,
    reward_models: RewardModelOptions,
    tools: Annotated[ToolOptions, without("unsafe_local")],
    episodes: EpisodeOptions,
    loop: LoopOptions,
    training: TrainingOptions,
    queries: Queries = None,
    rollouts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Learn from this file of a step, without an engine; repeatable, one per step",
        ),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            metavar="|".join(hybrid.STAGES), help="Parts of the reward: qvl verify --verifiers"
        ),
    ] = RewardSettings.stage,
    loss: Annotated[
        str, typer.Option(metavar="|".join(LOSSES), help="Objective; the others are baselines")
    ] = PolicySettings.loss,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=2, help="Responses per query (our choice)"
        ),
    ] = defaults.NUM_SAMPLES,
    minibatches: Minibatches = PolicySettings.minibatches,
    tau_pos: Annotated[
        float, typer.Option(metavar="X", help="SAPO's temperature for positive advantages")
    ] = PolicySettings.tau_pos,
    tau_neg: Annotated[
        float, typer.Option(metavar="X", help="SAPO's temperature for other advantages")
    ] = PolicySettings.tau_neg,
    clip_low: Annotated[
        float | None,
        typer.Option(metavar="X", help="GRPO's and GSPO's clipping below; by default the papers'"),
    ] = None,
    clip_high: Annotated[
        float | None, typer.Option(metavar="X", help="GRPO's and GSPO's clipping above")
    ] = None,
    mask_cut: Annotated[
        bool,
        typer.Option("--mask-cut", help="Do not learn from responses cut at --max-tokens"),
    ] = False,
    learn_over_turn: Annotated[
        bool,
        typer.Option(
            "--learn-over-turn",
            help="Learn from episodes that called once more in their last turn, too",
        ),
    ] = not PolicySettings.mask_over_turn,
    calls_weight: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0,
            help="Reward a right answer by X more for as many useful calls as calls_needed says; "
            f"{W_CALLS:g} in qvl agent-score",
        ),
    ] = RewardSettings.calls_weight,
    trajectory_judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Judge that reads each trajectory, as in qvl agent-score; repeatable",
        ),
    ] = None,
    trajectory_judge_model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Its name, if several models are served; repeatable"),
    ] = None,
    reasoning_weight: Annotated[
        float,
        typer.Option(
            metavar="X", min=0, help="Weight of its verdict on the reasoning (our choice)"
        ),
    ] = RewardSettings.reasoning_weight,
    importance_cap: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            help="Weigh tokens by the trainer's over the engine's probability, at most X",
        ),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=WEIGHT]", help="Further penalty, as in qvl verify; repeatable"),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Reward code with the share of tests that it passes")
    ] = False,
    unsafe_local: Annotated[
        bool,
        typer.Option("--unsafe-local", help="Run code without isolation where there is no sandbox"),
    ] = False,
) -> None:
    """Train with reinforcement learning: SAPO on responses that an engine samples now.

    A step takes --batch queries in the order of their files, samples -n responses to each, rewards them
    as qvl verify --hybrid STAGE does, and compares each with the others of its query: its advantage. The
    trainer learns from the step in --minibatches optimizer steps, and the engine gets the new weights
    without a restart. The report uses SAPO (arXiv 2511.20347) with 2 mini-batches; it publishes no
    responses per query, learning rate or batch.

    \b
    In --output, beside the model:
      rollouts/step-000001.jsonl.zst    records of the step: token ids, log-probs of engine and
                                        trainer, reward and its parts, advantage, weight version
      evaluations/step-000010.jsonl.zst responses to --eval, the greedy one first
      log.jsonl, rl.json, checkpoints/, weights/

    \b
    What cannot be learnt from, each counted in the log:
      no verdict             left out of its group's mean and spread. Never a 0
      a group all alike      advantage 0: right or wrong, it moves nothing
      cut at --max-tokens    judged as it is; with --mask-cut not learnt from
      a refused query        its group is empty

    Sampling is at temperature 1 from the whole distribution, because the loss is of these probabilities.
    Before it learns, each step compares the engine's log-probs with the trainer's, by class of token, and
    stops over --max-gap with the worst token's record. With --max-staleness the engine's own are the old
    log-probs, as those weights are gone. The log then has drift, the distance of the trainer's from them,
    measured on an eighth of the responses of one pack per rank.

    With --tools a response is an episode of an agent, as qvl agent-rollout runs it: several turns, with
    what tools returned between them, and --max-tokens of what is sampled. Only sampled tokens are
    learnt. An episode that calls once more in its last turn counts in its group's mean and spread and is
    not learnt from, so that an agent is not taught to give up; --learn-over-turn changes that. With
    --calls-weight the number of calls is rewarded, too, and with --trajectory-judge the reasoning, each only
    as far as the answer is right: see qvl agent-score. The log has calls and accuracy by calls_needed.

    The routing of a mixture of experts is not replayed: SAPO's paper trains mixtures without (section 5).

    SIGTERM and Ctrl-C end the run after the step. --resume continues, also after a kill: sampled steps
    are not sampled again, and an engine gets the weights that it should have. As the learning rate is
    constant, --resume with more --steps or --epochs continues a run that ended, as if they had been given
    before; with other queries, sizes, seeds or learning rate it is another run, and an error.

    \b
    Examples:
        $ qvl serve twin --port 0 -- qvl rl sapo --model twin -o better -n 4 --batch 4 --max-tokens 16 --steps 1 --lr 1e-4 rl.jsonl.zst
        $ qvl serve twin --port 0 -- qvl rl sapo --model twin -o agent --tools image_zoom_in_tool --calls-weight 0.3 -n 4 --batch 4 --max-tokens 16 --steps 1 rl.jsonl.zst
        $ qvl rl sapo --model twin -o again --steps 1 --lr 1e-4 --rollouts better/rollouts/step-000001.jsonl.zst
    """
    loop.check(queries, rollouts, "steps that were sampled")
    agent = None
    if tools.tool:
        named = replace(tools.settings(), unsafe_local=unsafe_local)
        agent = episodes.settings(named, loop.max_tokens)
    if (calls_weight or trajectory_judge) and not agent:
        raise UserError("--calls-weight and --trajectory-judge: need --tools")
    settings = rl.RlSettings(
        **training.settings(),
        sampling=loop.sampling(
            training, media, queries, rollouts, num_samples=num_samples, agent=agent
        ),
        rewards=loop.rewards(
            stage=stage,
            partial=partial,
            unsafe_local=unsafe_local,
            penalties=hybrid.checked(penalty or []),
            judges=tuple(judges.judge or ()),
            judge_models=tuple(judges.judge_model or ()),
            judge_prompt=judges.judge_prompt,
            free_text=judges.free_text,
            reward_models=tuple(reward_models.reward_model or ()),
            reward_model_name=reward_models.reward_model_name,
            calls_weight=calls_weight,
            trajectory_judges=tuple(trajectory_judge or ()),
            trajectory_judge_models=tuple(trajectory_judge_model or ()),
            reasoning_weight=reasoning_weight,
        ),
        policy=loop.policy(
            training,
            rollouts,
            loss=loss,
            tau_pos=tau_pos,
            tau_neg=tau_neg,
            clip_low=clip_low,
            clip_high=clip_high,
            minibatches=minibatches,
            mask_cut=mask_cut,
            mask_over_turn=not learn_over_turn,
            importance_cap=importance_cap,
        ),
    )
    if loop.rollouts_only:
        settings.check(1)
        rl.sample_only(settings, lambda step, found: _show({"step": step, **found}))
        return
    train(
        "rl sapo",
        settings,
        training.nproc,
        lambda stopping: rl.run(settings, _show, stopping, _tell),
    )


def _show(row: dict[str, Any]) -> None:
    of = f" of {row['steps']}" if "steps" in row else ""
    if "evaluation" in row:
        facts = [f"{name} {value:.3f}" for name, value in row["evaluation"].items()]
        facts.insert(0, f"evaluation after step {row['step']}{of}")
    else:
        facts = [
            f"step {row['step']}{of}",
            f"reward {row['reward']:.3f}",
            f"teaching {row['teaching_groups']:.0%}",
            f"{row['response_tokens']:.0f} tokens",
        ]
        if "loss" in row:
            name = "gap" if "gap" in row else "drift"
            facts += [
                f"entropy {row['entropy']:.3f}",
                f"grad norm {row['grad_norm']:.3f}",
                f"{name} {row[name]:.2g}",
                f"sampled in {row.get('sample_seconds', 0):.1f} s",
                f"trained in {row['score_seconds'] + row['train_seconds']:.1f} s",
            ]
    _tell(", ".join(facts))


def _tell(line: str) -> None:
    print(f"qvl rl sapo: {line}", file=sys.stderr, flush=True)
