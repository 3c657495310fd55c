import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from qvl import client, reward, stage
from qvl.errors import UserError
from qvl.reward import hybrid, verdict
from qvl.reward.penalties import PENALTIES

from .options import (
    AllowRemote,
    Cache,
    Concurrency,
    Files,
    FreeText,
    Jobs,
    JudgeModel,
    JudgePrompt,
    JudgeUrl,
    MaxErrorRate,
    MaxTotalTokens,
    MediaRoot,
    OnError,
    Output,
    Plain,
    Rejects,
    Report,
    Resume,
    Retries,
    RewardModelName,
    RewardModelUrl,
    Seed,
    Shard,
    TimeoutSeconds,
    VerdictSeconds,
)
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    verifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge all by this verifier or MODULE:FUNCTION"),
    ] = None,
    verifiers: Annotated[
        bool,
        typer.Option(
            "--verifiers", help="List verifiers, penalties and the tables of --hybrid; do no more"
        ),
    ] = False,
    hybrid_stage: Annotated[
        str | None,
        typer.Option(
            "--hybrid", metavar="|".join(hybrid.STAGES), help="Sum up the parts of this stage of RL"
        ),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WEIGHT]",
            help=f"Take from each reward: {', '.join(PENALTIES)}; repeatable",
        ),
    ] = None,
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_prompt: JudgePrompt = None,
    reward_model: RewardModelUrl = None,
    reward_model_name: RewardModelName = None,
    free_text: FreeText = False,
    max_total_tokens: MaxTotalTokens = None,
    concurrency: Concurrency = client.CONCURRENCY,
    retries: Retries = client.RETRIES,
    request_timeout_seconds: TimeoutSeconds = client.TIMEOUT_SECONDS,
    cache: Cache = None,
    seed: Seed = 0,
    media_root: MediaRoot = None,
    allow_remote: AllowRemote = False,
    max_error_rate: MaxErrorRate = stage.MAX_ERROR_RATE,
    timeout_seconds: VerdictSeconds = verdict.SECONDS,
    partial: Annotated[
        bool, typer.Option("--partial", help="Code earns the share of its tests that passed")
    ] = False,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local", help="Run code with your own rights where nothing isolates it"
        ),
    ] = False,
    jobs: Jobs = 1,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    resume: Resume = False,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Judge sampled responses by the verifier of their task, or by all that makes a reward.

    Reads records with a task, an answer and responses; the final answer is taken after the
    thinking. Writes them with, on each response: `reward`, from 0 to 1, or null where there is no
    verdict; `rewards`, by verifier; and `verdict`: the verifier, its status, what it took as the
    answer, the particulars. The status is ok, timeout or error: a verifier that crashes, or finds
    nothing to compare with, scores nobody 0. Programs run in a sandbox with time limits of its
    own; one that runs out of time failed and scores 0. The totals stand in the summary, and too
    many responses without a verdict are status 3. Nothing is dropped.

    A penalty takes from the reward, by default half of what it finds: language, where a response is
    not in the language of its prompt; repetition; format, where tags, calls or JSON are broken. With
    --hybrid the reward is the sum of the parts that --verifiers shows for a stage of RL and a kind
    of record. Open questions are graded by a model then (--judge) that sees the reference answer and
    the images, each axis beside `judge` in `rewards`; a reply that cannot be read is an error. Those
    without a reference are scored by a reward model (--reward-model), whose value a sigmoid brings
    between 0 and 1, else graded too. Beside a model, rules run on one core. The weights are our choice. qvl filter-difficulty still counts as
    passed what the verifier passes.

    \b
    Examples:
        $ qvl verify sampled.jsonl.zst | zstdcat
        $ qvl verify --verifier exact --jobs 2 sampled.jsonl.zst -o verified.jsonl.zst
        $ qvl verify --hybrid reasoning --penalty repetition=0.2 sampled.jsonl.zst | zstdcat
        $ qvl verify --verifiers
    """
    if verifiers:
        _list()
        return
    if verifier:
        reward.find(verifier)
    if hybrid_stage and hybrid_stage not in hybrid.STAGES:
        raise UserError(f"--hybrid {hybrid_stage}: say {', '.join(hybrid.STAGES)}")
    if (judge or reward_model) and hybrid_stage != "general":
        raise UserError("--judge and --reward-model go with --hybrid general")
    if (judge or reward_model) and jobs > 1:
        raise UserError("--jobs: beside a model, rules run on one core")
    work = verdict.Verify(
        verifier,
        timeout_seconds,
        partial,
        unsafe_local,
        stage=hybrid_stage,
        penalties=hybrid.checked(penalty or []),
    )
    config = {
        "verifier": verifier,
        "timeout_seconds": timeout_seconds,
        "partial": partial,
        "unsafe_local": unsafe_local,
        "hybrid": hybrid_stage,
        "penalties": dict(work.penalties),
    }
    with contextlib.ExitStack() as stack:
        asked, judged = [], None
        if judge or reward_model:  # only then is what waits for endpoints imported
            from qvl.judge import Judge, Manner
            from qvl.judge.prompt import Prompt
            from qvl.judge.scalar import RewardModel
            from qvl.reward.judged import JudgedRewards

            from . import judging

            opened = judging.opener(
                stack,
                files=files,
                output=output,
                resume=resume,
                cache=cache,
                media_root=media_root,
                allow_remote=allow_remote,
                max_total_tokens=max_total_tokens,
                concurrency=concurrency,
                retries=retries,
                timeout_seconds=request_timeout_seconds,
            )
            prompt = Prompt.file(judge_prompt) if judge_prompt else Prompt.named("judge/reward")
            manner = Manner(seed=seed, free_text=free_text)
            asked = opened(judge, judge_model) if judge else []
            judges = [Judge(each, prompt, manner) for each in asked]
            scorer = None
            if reward_model:
                names = [reward_model_name] if reward_model_name else None
                scorer = RewardModel(*opened(reward_model, names))
                asked = [*asked, scorer.client]
                config |= {"reward_model": scorer.name}
            judged = JudgedRewards(verify=work, judges=judges, model=scorer)
            config |= {"judges": [each.name for each in judges], "prompt": prompt.identity}
        run = stack.enter_context(
            session(
                "verify",
                files,
                output,
                rejects=rejects,
                on_error=on_error,
                shard=shard,
                plain=plain,
                report=report,
                resume=resume,
                journal=True,
                seed=seed if judge else None,
                config=config,
                sound=True,
                conserves=True,
            )
        )
        done: Iterator[dict]
        if judged is None:
            done = stage.each(run, work, jobs=jobs)
        else:
            done = judging.watched(run, judged, concurrency, max_error_rate)
        run.write(verdict.Totals(max_error_rate).watch(done, run.note))
        for each in asked:
            run.note(**each.facts)


def _list() -> None:
    for name, where in (*reward.REWARDS.items(), *PENALTIES.items()):
        print(f"{name:12} {where}")
    for name, rows in hybrid.STAGES.items():
        for kind, parts in rows.items():
            told = " + ".join(f"{weight:g} {part}" for part, weight in parts.items())
            print(f"--hybrid {name}, {kind}: {told}")
    print(f"open: no verifier for the task, or {', '.join(hybrid.OPEN_TASKS)}; with an answer")
