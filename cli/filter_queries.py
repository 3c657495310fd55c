import contextlib
from typing import Annotated

import typer

from qvl import stage
from qvl.curate.rules import revision
from qvl.curate.rules.queries import QueryRules
from qvl.errors import UserError

from .endpoint_options import JudgeOptions, RequestOptions
from .options import Jobs, MaxErrorRate, MediaOptions, ResumableStreamOptions, Seed


def command(
    judges: JudgeOptions,
    requests: RequestOptions,
    media: MediaOptions,
    stream: ResumableStreamOptions,
    max_chars: Annotated[
        int,
        typer.Option(metavar="N", help="Longest conversation before the answer (our choice)"),
    ] = QueryRules.max_chars,
    need_answer: Annotated[
        bool, typer.Option("--need-answer", help="Drop what has no reference answer to verify by")
    ] = QueryRules.need_answer,
    one_question: Annotated[
        bool, typer.Option("--one-question", help="Drop what asks several questions at once")
    ] = QueryRules.one_question,
    least: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="AXIS=X",
            help="Drop what the judge scores lower: complexity, relevance",
        ),
    ] = None,
    no_revision: Annotated[
        bool, typer.Option("--no-revision", help="Drop ambiguous queries, do not revise them")
    ] = False,
    min_similarity: Annotated[
        float,
        typer.Option(metavar="X", help="Least likeness of a revision's text (our choice)"),
    ] = revision.MIN_SIMILARITY,
    max_error_rate: MaxErrorRate = stage.MAX_ERROR_RATE,
    seed: Seed = 0,
    jobs: Jobs = 1,
) -> None:
    """Drop queries that are not worth a response.

    Reads records and writes those that pass, in order; the rest goes to --rejects with one of these
    reasons: no-query (no user turn), empty, no-substance (a greeting, a placeholder, a web page's
    furniture, an address), vague (points at something that nothing names), missing-image (speaks of
    an image that is not there), denies-image, too-long, no-answer, several-questions. The rules
    need no model and know some fifteen languages; records that pass them alone are unchanged.

    With --judge, what the rules keep is shown to a model, with its images. It drops no-substance,
    not-verifiable and, with --min, low-complexity and low-relevance. An ambiguous query is replaced
    by the judge's minimal revision, unless that loses or turns round a word that matters, or changes a
    number, a negation, a quotation, an answer option and the like: then it is dropped as ambiguous. Of
    74 revisions that ask something else, written for this, the guard lets none pass, and of 67 that do
    not it stops 5. The scores, and a revised query as it was, stand in scores["filter-queries"]. A reply that cannot be read is asked
    for again; after that the record is rejected as no-verdict, and too many of those are status 4.

    The report publishes no rule, prompt, scale or threshold, so these are our choice.

    \b
    Examples:
        $ qvl filter-queries records.jsonl.zst | zstdcat
        $ qvl filter-queries --need-answer --one-question records.jsonl.zst -o queries.jsonl.zst
        $ qvl filter-queries --rejects bad.jsonl.zst records.jsonl.zst -o queries.jsonl.zst
    """
    rules = QueryRules(max_chars=max_chars, need_answer=need_answer, one_question=one_question)
    if not judges.judge and (stream.resume or least or requests.max_total_tokens):
        raise UserError("--resume, --min and --max-total-tokens go with --judge URL")
    with contextlib.ExitStack() as stack:
        judged, config = None, dict(vars(rules))
        if judges.judge:  # only then is what waits for endpoints imported
            from qvl.curate.rules.judged_queries import JudgedQueries
            from qvl.curate.scores import measured
            from qvl.judge import Judge, Manner

            from . import judging

            opened = judging.opener(stack, stream, requests, media)
            asked = opened(judges.judge, judges.judge_model)
            if len(asked) > 1:
                raise UserError("filter-queries asks one judge: give one --judge-model")
            prompt = judging.prompt(judges, "judge/query")
            judged = JudgedQueries(
                rules=rules,
                judge=Judge(asked[0], prompt, Manner(seed=seed, free_text=judges.free_text)),
                least=measured.thresholds(least or [], of=prompt.scales),
                revise=not no_revision,
                min_similarity=min_similarity,
            )
            config |= {
                "judge": judged.judge.name,
                "prompt": judged.judge.prompt.identity,
                "min": dict(judged.least),
                "revise": judged.revise,
                "min_similarity": min_similarity,
            }
        run = stack.enter_context(
            stream.run(
                "filter-queries",
                journal=judged is not None,
                seed=seed if judged else None,
                sound=True,
                conserves=True,
                config=config,
            )
        )
        if judged is None:
            run.write(stage.keep(run, rules, jobs=jobs))
            return
        run.write(judging.watched(run, judged, requests.concurrency, max_error_rate))
        run.note(**judged.judge.client.facts)
