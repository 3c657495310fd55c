import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from qvl import reward, stage
from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import UserError
from qvl.reward import hybrid, time_limit
from qvl.reward.penalties import PENALTIES
from qvl.reward.verify import Totals, Verify

from .endpoint_options import JudgeOptions, RequestOptions, RewardModelOptions
from .options import (
    Jobs,
    MaxErrorRate,
    MediaOptions,
    ResumableStreamOptions,
    Seed,
    VerdictSeconds,
    Verifier,
)


def command(
    judges: JudgeOptions,
    reward_models: RewardModelOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    verifier: Verifier = None,
    verifiers: Annotated[
        bool,
        typer.Option(
            "--verifiers", help="List verifiers, penalties and the tables of --hybrid, and exit"
        ),
    ] = False,
    hybrid_stage: Annotated[
        str | None,
        typer.Option(
            "--hybrid",
            metavar="|".join(hybrid.STAGES),
            help="Sum the parts of the reward of this stage of RL",
        ),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WEIGHT]",
            help=f"Penalty on each reward: {', '.join(PENALTIES)}; repeatable",
        ),
    ] = None,
    seed: Seed = 0,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    verdict_seconds: VerdictSeconds = time_limit.VERDICT_SECONDS,
    partial: Annotated[
        bool, typer.Option("--partial", help="Reward code with the share of tests that it passes")
    ] = False,
    unsafe_local: Annotated[
        bool,
        typer.Option("--unsafe-local", help="Run code without isolation where there is no sandbox"),
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Judge sampled responses by the verifier of their task, or by a whole reward.

    Reads records with a task, an answer and responses. The reasoning is not judged: the verifier reads
    the final answer from the text after it. Adds three fields to each response: `reward`, from 0 to 1,
    or null if there is no verdict; `rewards`, by verifier; and `verdict`, with the verifier, its status,
    the answer that it extracted, and details. The status is ok, timeout or error. A verifier that crashes,
    or has no reference to compare with, gives an error and no reward. Programs run in a sandbox with its
    own time limits; a program that exceeds them fails and scores 0. The summary has the totals. Nothing
    is dropped.

    A penalty reduces the reward, by default by half of what it measures:

      language     the response is not in the language of its prompt
      repetition   loops and repeated text
      format       malformed tags, tool calls or JSON

    With --hybrid the reward is a sum of parts; --verifiers lists them for each stage of RL and kind of
    record. A judge (--judge) grades open questions, given the reference answer and the images; its axes
    are in `rewards` beside `judge`, and a reply that cannot be parsed is an error. A question without a
    reference is scored by a reward model (--reward-model), whose value a sigmoid maps to between 0 and 1;
    without a reward model the judge grades it, too. With a judge or reward model, verifiers run on one
    core. The weights are our choice. qvl filter-difficulty counts the verifier's reward, not the sum.

    Examples:
        $ qvl verify sampled.jsonl.zst | zstdcat
        $ qvl verify --verifier exact --jobs 2 sampled.jsonl.zst -o verified.jsonl.zst
        $ qvl verify --hybrid reasoning --penalty repetition=0.2 sampled.jsonl.zst | zstdcat
        $ qvl verify --verifiers
    """
    if verifiers:
        _list()
        return
    if hybrid_stage and hybrid_stage not in hybrid.STAGES:
        raise UserError(f"--hybrid {hybrid_stage}: expected one of {', '.join(hybrid.STAGES)}")
    asks_models = bool(judges.judge or reward_models.reward_model)
    if asks_models and hybrid_stage != "general":
        raise UserError("--judge and --reward-model need --hybrid general")
    if asks_models and jobs > 1:
        raise UserError("--jobs: with a model, rules run on one core")
    work = Verify(
        verifier,
        verdict_seconds,
        partial,
        unsafe_local,
        stage=hybrid_stage,
        penalties=hybrid.checked(penalty or []),
    )
    config = {
        "verifier": verifier,
        "verdict_seconds": verdict_seconds,
        "partial": partial,
        "unsafe_local": unsafe_local,
        "hybrid": hybrid_stage,
        "penalties": dict(work.penalties),
    }
    with contextlib.ExitStack() as stack:
        clients, judged = [], None
        if asks_models:  # only then is what waits for endpoints imported
            from qvl.judge import Judge, JudgeConfig
            from qvl.judge.reward_model import RewardModel
            from qvl.reward.judged import JudgedRewards

            from . import judging

            opened = judging.opener(stack, stream, requests, media)
            prompt = judging.prompt(judges, "judge/reward")
            judge_config = JudgeConfig(seed=seed, free_text=judges.free_text)
            clients = opened(judges.judge, judges.judge_model) if judges.judge else []
            graders = [Judge(each, prompt, judge_config) for each in clients]
            scorer = None
            if reward_models.reward_model:
                scorer = RewardModel(*opened(reward_models.reward_model, reward_models.names))
                clients = [*clients, scorer.client]
                config |= {"reward_model": scorer.name}
            judged = JudgedRewards(verify=work, judges=graders, model=scorer)
            config |= {"judges": [each.name for each in graders], "prompt": prompt.identity}
        run = stack.enter_context(
            stream.run(
                "verify",
                seed=seed if judges.judge else None,
                config=config,
                sound=True,
                conserves=True,
            )
        )
        done: Iterator[dict]
        if judged is None:
            done = stage.each(run, work, jobs=jobs)
        else:
            done = judging.watched(run, judged, requests.concurrency, max_error_rate)
        run.write(Totals(max_error_rate).watch(done, run.note))
        for each in clients:
            run.note(**each.facts)


def _list() -> None:
    for name, where in (*reward.REWARDS.items(), *PENALTIES.items()):
        print(f"{name:12} {where}")
    for name, rows in hybrid.STAGES.items():
        for kind, parts in rows.items():
            told = " + ".join(f"{weight:g} {part}" for part, weight in parts.items())
            print(f"--hybrid {name}, {kind}: {told}")
    print(f"open: no verifier for the task, or {', '.join(hybrid.OPEN_TASKS)}; with an answer")
