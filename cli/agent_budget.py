import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import UserError

from .endpoint_options import JudgeOptions, RequestOptions
from .options import MaxErrorRate, MediaOptions, ResumableStreamOptions, Seed


def command(
    judges: JudgeOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Number of estimates per judge"
        ),
    ] = 1,
    again: Annotated[
        bool, typer.Option("--again", help="Estimate records that have calls_needed, too")
    ] = False,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
) -> None:
    """Estimate how many tool calls each question deserves, by a judge that sees it with its images.

    Reads records and adds `calls_needed`, which qvl agent-score and qvl rl sapo --calls-weight compare with
    what an agent calls. The report's target is estimated offline by Qwen2.5-VL-72B; its prompt is not
    published. With several judges or estimates, the lower median counts, and scores["agent-budget"] has all
    of them and their spread. A record that has calls_needed keeps it. One whose judge gave no estimate is
    written without, and is counted; too many are status 3.

    Examples:
        $ qvl serve twin --port 0 -- qvl agent-budget --judge {endpoint} -n 3 test.jsonl.zst -o budgeted.jsonl.zst
    """
    if not judges.judge:
        raise UserError("no judge; give --judge URL")
    from qvl.agent.budget import Budget
    from qvl.judge import Judge, JudgeConfig

    from . import judging

    with contextlib.ExitStack() as stack:
        clients = judging.opener(stack, stream, requests, media)(judges.judge, judges.judge_model)
        prompt = judging.prompt(judges, "judge/budget")
        if "calls" not in prompt.scales:
            raise UserError(f"--judge-prompt {judges.judge_prompt}: expected a field calls: 0 to N")
        temperature = {"temperature": 0.7} if samples > 1 else {"temperature": 0.0}
        config = JudgeConfig(
            seed=seed, free_text=judges.free_text, sampling={**temperature, "max_tokens": 1024}
        )
        budget = Budget(
            judges=[Judge(each, prompt, config) for each in clients], samples=samples, again=again
        )
        run = stack.enter_context(
            stream.run(
                "agent-budget",
                seed=seed,
                sound=True,
                conserves=True,
                config={
                    "judges": [each.name for each in budget.judges],
                    "prompt": prompt.identity,
                    "samples": samples,
                    "again": again,
                },
            )
        )
        found: Counter[Any] = Counter()
        run.write(
            _counted(judging.watched(run, budget, requests.concurrency, max_error_rate), found)
        )
        run.note(**{f"calls_{calls}": count for calls, count in sorted(found.items())})
        for each in clients:
            run.note(**each.facts)


def _counted(records: Iterable[dict], found: Counter[Any]) -> Iterator[dict]:
    for record in records:
        if "calls_needed" in record:
            found[record["calls_needed"]] += 1
        yield record
