import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from qvl import stage
from qvl.curate.rules.drop_responses import drop_failed
from qvl.curate.scores import measured
from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import UserError

from .endpoint_options import JudgeOptions, RequestOptions, RewardModelOptions
from .options import Jobs, MaxErrorRate, MediaOptions, ResumableStreamOptions, Seed


def command(
    judges: JudgeOptions,
    reward_models: RewardModelOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    least: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="AXIS=X",
            help="Drop responses that score below X on this axis; repeatable",
        ),
    ] = None,
    pairwise: Annotated[
        bool, typer.Option("--pairwise", help="Compare responses in pairs, each in both orders")
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Number of verdicts per judge"
        ),
    ] = 1,
    aggregate: Annotated[
        str,
        typer.Option(
            metavar="|".join(measured.AGGREGATES), help="How several verdicts are combined"
        ),
    ] = "mean",
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
    jobs: Jobs = 1,
) -> None:
    """Score responses on axes, by rules and by judges, and drop none by default.

    Reads records and writes them with `scores` on each of `responses`, and with
    scores["score-responses"] for the final assistant turn (without one, the mean of the responses). All
    scores are from 0 to 1, higher is better; an axis that cannot be measured is left out.

      correctness   the reward of the task's verifier, where there is a reference answer; verdict_errors
                    counts the verdicts that it did not give, as it failed or ran out of time
      completeness  1 unless the text is empty or truncated
      clarity       1 less the share of text that repeats
      language      1 less the share of words in a script that the query does not use
      form          1 unless tags, tool calls, JSON or special tokens are malformed

    With --judge, models grade each answer, with the images of its query: judge_correctness,
    judge_completeness, judge_clarity, judge_helpfulness, judge_language, judge_style, and judge_vision
    where there is media. --aggregate combines several judges, or several samples of one, and
    judge_AXIS_spread is their spread. judge_errors counts replies that could not be parsed and score
    nothing. With --pairwise the only axis is judge_wins, the share of comparisons that a response wins;
    a verdict that changes with the order of the two is a tie.

    With --reward-model, reward_model is the value of a scalar reward model, unchanged; vLLM serves one
    with --engine-args '--runner pooling'. reward_model_errors counts the requests that it refuses.

    With --min, a final turn below a threshold rejects its record, and a response below it is removed, as
    by qvl filter-responses, with the reason low-AXIS. A missing axis is not below it.

    Examples:
        $ qvl score-responses records.jsonl.zst | zstdcat
        $ qvl score-responses --min clarity=0.8 --min correctness=0.5 records.jsonl.zst | zstdcat
    """
    if not judges.judge and (pairwise or samples > 1):
        raise UserError("--pairwise and --num-samples need --judge URL")
    if not (judges.judge or reward_models.reward_model) and (
        stream.resume or requests.max_total_tokens
    ):
        raise UserError("--resume and --max-total-tokens need --judge or --reward-model URL")
    if aggregate not in measured.AGGREGATES:
        raise UserError(
            f"--aggregate {aggregate}: expected one of {', '.join(measured.AGGREGATES)}"
        )
    with contextlib.ExitStack() as stack:
        clients, judged, config, prompts = [], None, {}, []
        if judges.judge or reward_models.reward_model:  # only then are clients imported
            from . import judging

            opened = judging.opener(stack, stream, requests, media)
            if judges.judge:
                from qvl.curate.scores.judged import JudgedScores, Pairwise
                from qvl.judge import Judge, JudgeConfig

                clients = opened(judges.judge, judges.judge_model)
                judge_config = JudgeConfig(seed=seed, free_text=judges.free_text)
                prompts = _prompts(judges.judge_prompt, pairwise)
                graders = [
                    [Judge(each, prompt, judge_config) for each in clients] for prompt in prompts
                ]
                judged = (
                    Pairwise(judges=graders[0])
                    if pairwise
                    else JudgedScores(
                        judges=graders[0], visual=graders[-1], samples=samples, aggregate=aggregate
                    )
                )
                config = {
                    "judges": [each.name for each in graders[0]],
                    "prompts": [prompt.identity for prompt in prompts],
                    "samples": samples,
                    "aggregate": aggregate,
                }
            if reward_models.reward_model:
                from qvl.curate.scores.modelled import MeasuredScores, ModelledScores
                from qvl.judge.reward_model import RewardModel

                (scorer,) = opened(reward_models.reward_model, reward_models.names)
                clients = [*clients, scorer]
                judged = ModelledScores(RewardModel(scorer), judged or MeasuredScores())
                config |= {"reward_model": scorer.model}
        modelled = [measured.MODEL] if reward_models.reward_model else []
        bounds = measured.thresholds(least or [], [*_axes(prompts, pairwise), *modelled])
        run = stack.enter_context(
            stream.run(
                "score-responses",
                journal=judged is not None,
                seed=seed if judged else None,
                sound=True,
                conserves=True,
                config={"min": bounds, **config},
            )
        )
        scored: Iterator[dict]
        if judged is None:
            scored = stage.annotate(run, measured.annotate, jobs=jobs)
        else:
            scored = judging.watched(run, judged, requests.concurrency, max_error_rate)
        scored = measured.watch(scored, run.note)
        if bounds:
            verdict = measured.find_below(bounds)
            scored = drop_failed(run, ((record, verdict(record)) for record in scored))
        run.write(scored)
        for each in clients:
            run.note(**each.facts)


def _prompts(path: str | None, pairwise: bool) -> list[Any]:
    """For records of text, and for those with something to see."""
    from qvl.judge.prompt import Prompt

    if path:
        return [Prompt.file(path)]
    if pairwise:
        return [Prompt.named("judge/pair")]
    return [Prompt.named("judge/response"), Prompt.named("judge/response-visual")]


def _axes(prompts: list[Any], pairwise: bool) -> list[str]:
    """What the judges add to the axes of the rules."""
    if pairwise:
        return [measured.WINS]
    return [f"judge_{name}" for name in dict.fromkeys(n for each in prompts for n in each.scales)]
