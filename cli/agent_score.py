import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from qvl import stage
from qvl.error_rate import MAX_ERROR_RATE, ErrorRate
from qvl.errors import UserError
from qvl.reward.time_limit import VERDICT_SECONDS

from .endpoint_options import JudgeOptions, RequestOptions
from .groups import without
from .options import (
    MaxErrorRate,
    MediaOptions,
    ResumableStreamOptions,
    Seed,
    VerdictSeconds,
    Verifier,
)


def command(
    judges: Annotated[JudgeOptions, without("judge_prompt")],
    requests: Annotated[RequestOptions, without("timeout_seconds")],
    media: MediaOptions,
    stream: ResumableStreamOptions,
    verifier: Verifier = None,
    judge_answers: Annotated[
        bool,
        typer.Option(
            "--judge-answers", help="The judges decide whether an answer is right, not the verifier"
        ),
    ] = False,
    answers_only: Annotated[
        bool, typer.Option("--answers-only", help="The judges do not read the trajectories")
    ] = False,
    timeout_seconds: VerdictSeconds = VERDICT_SECONDS,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
) -> None:
    """Score the episodes of agents: the answer, the calls, and the reasoning between them.

    Reads the output of qvl agent-rollout. Adds to each response `reward`, its parts in `rewards`, and the
    verdict:

    \b
      reward    = accuracy (1 + 0.3 calls + 0.3 calls x reasoning)
      accuracy  0 to 1, by the verifier of the task, or with --judge-answers by a judge, who is given the
                reference; answers over 1,000 characters are then wrong
      calls     0 to 1: 1 for as many useful calls as the record's calls_needed and no other; less by
                1 / calls_needed per call too many, too few or without use
      reasoning 0 to 1, by --judge, which reads the trajectory with the images that tools returned

    A call is of no use if it fails, repeats an earlier one (IoU of 0.9), shows over 0.8 of the image, or
    shows no `evidence` of the record that was not seen before, where it has boxes as evidence. A part that
    cannot be known is left out: calls without calls_needed, reasoning without a judge. The report has
    these three parts, and publishes neither form nor weights: both are ours. A wrong answer is worth 0.

    The summary shows accuracy and calls by calls_needed.

    Examples:
        $ qvl agent-score sampled.jsonl.zst -o scored.jsonl.zst
        $ qvl agent-score sampled.jsonl.zst | qvl select 'responses[0].reward >= 1' -o right.jsonl.zst
    """
    if (judge_answers or answers_only) and not judges.judge:
        raise UserError("--judge-answers and --answers-only need --judge URL")
    from qvl.agent.scoring import EpisodeScores
    from qvl.reward.verify import Verify
    from qvl.rollout import figures

    with contextlib.ExitStack() as stack:
        clients: list[Any] = []
        reasoning: list[Any] = []
        answers: list[Any] = []
        if judges.judge:
            from qvl.judge import Judge, JudgeConfig
            from qvl.judge.prompt import Prompt

            from . import judging

            clients = judging.opener(stack, stream, requests, media)(
                judges.judge, judges.judge_model
            )
            config = JudgeConfig(seed=seed, free_text=judges.free_text)

            def of(name: str) -> list[Any]:
                return [Judge(each, Prompt.named(name), config) for each in clients]

            reasoning = [] if answers_only else of("judge/trajectory")
            answers = of("judge/answer") if judge_answers else []
        scores = EpisodeScores(
            verify=Verify(verifier, timeout_seconds), reasoning=reasoning, answers=answers
        )
        run = stack.enter_context(
            stream.run(
                "agent-score",
                journal=bool(clients),
                seed=seed if clients else None,
                sound=True,
                conserves=True,
                config={
                    "verifier": verifier,
                    "judges": [each.model for each in clients],
                    "prompts": [each[0].prompt.identity for each in (reasoning, answers) if each],
                },
            )
        )
        rate = ErrorRate(max_error_rate)
        pairs: list[tuple[dict, dict]] = []
        scored = stage.submit_each(
            run,
            scores.submit,
            concurrency=requests.concurrency,
            watch=lambda result: rate.add(*scores.counts(result)),
        )
        run.write(_noted(scored, pairs))
        rate.check()
        found = figures.of_episodes(pairs)
        rewards = [one["reward"] for _, one in pairs if one["reward"] is not None]
        run.note(episodes=len(pairs), mean_reward=sum(rewards) / max(len(rewards), 1), **found)
        for each in clients:
            run.note(**each.facts)
    _table(found)


def _noted(records: Iterable[dict], pairs: list[tuple[dict, dict]]) -> Iterator[dict]:
    """The records; keeps what the summary needs of them."""
    fields = ("num_calls", "finish_reason", "reward", "rewards", "verdict")
    for record in records:
        short = {"calls_needed": record.get("calls_needed")}
        for response in record["responses"]:
            pairs.append((short, {name: response[name] for name in fields if name in response}))
        yield record


def _table(found: dict[str, float]) -> None:
    needs = sorted({name.partition("need-")[2] for name in found if "need-" in name})
    if not needs:
        return
    print(f"{'calls needed':>12}  {'accuracy':>8}  {'calls':>6}", file=sys.stderr)
    for need in needs:
        accuracy = found.get(f"accuracy/need-{need}")
        shown = "-" if accuracy is None else f"{100 * accuracy:.1f}"
        print(f"{need:>12}  {shown:>8}  {found[f'calls/need-{need}']:>6.2f}", file=sys.stderr)
