import contextlib

from qvl import stage
from qvl.error_rate import MAX_ERROR_RATE

from ..endpoint_options import JudgeOptions, RequestOptions
from ..options import MaxErrorRate, MediaOptions, ResumableStreamOptions, Seed, Verifier


def command(
    judges: JudgeOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    verifier: Verifier = None,
    seed: Seed = 0,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
) -> None:
    """Extract the final answer of each response.

    Reads records with responses and writes them with `extracted` on each response: the answer as the
    verifier of the task reads it, or as a model (--judge) copies it from the response, without
    the reference; null where there is none. qvl eval score judges it in place of the text. The official
    evaluations of MathVista, MathVision and others let a model extract; rules cost nothing and give the
    same answer each time.

    Examples:
        $ qvl eval extract sampled.jsonl.zst | qvl eval score -o scored.jsonl.zst
    """
    from qvl.evaluate.extraction import ByModel, by_rules
    from qvl.judge import Judge, JudgeConfig

    from .. import judging

    with contextlib.ExitStack() as stack:
        config = {"verifier": verifier}
        judge = None
        if judges.judge:
            (client,) = judging.opener(stack, stream, requests, media)(
                judges.judge[:1], judges.judge_model
            )
            prompt = judging.prompt(judges, "judge/extract")
            judge = Judge(client, prompt, JudgeConfig(seed=seed, free_text=judges.free_text))
            config |= {"judge": judge.name, "prompt": prompt.identity}
        run = stack.enter_context(
            stream.run(
                "eval extract",
                journal=judge is not None,
                seed=seed if judge else None,
                config=config,
                sound=True,
                conserves=True,
            )
        )
        if judge:
            done = judging.watched(run, ByModel(judge), requests.concurrency, max_error_rate)
        else:
            done = stage.each(run, lambda record: by_rules(record, verifier))
        run.write(done)
