import contextlib
from typing import Annotated

import typer

from qvl import stage
from qvl.curate.rules import revision
from qvl.curate.rules.queries import QueryRules
from qvl.error_rate import MAX_ERROR_RATE
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
        typer.Option(
            metavar="N", help="Maximum length of the conversation before the answer (our choice)"
        ),
    ] = QueryRules.max_chars,
    need_answer: Annotated[
        bool, typer.Option("--need-answer", help="Drop records without a reference answer")
    ] = QueryRules.need_answer,
    one_question: Annotated[
        bool, typer.Option("--one-question", help="Drop queries that ask several questions")
    ] = QueryRules.one_question,
    least: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="AXIS=X",
            help="Drop queries that the judge scores lower: complexity, relevance; repeatable",
        ),
    ] = None,
    no_revision: Annotated[
        bool, typer.Option("--no-revision", help="Drop ambiguous queries instead of revising them")
    ] = False,
    min_similarity: Annotated[
        float,
        typer.Option(
            metavar="X", help="Minimum similarity of a revision to its query (our choice)"
        ),
    ] = revision.MIN_SIMILARITY,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    seed: Seed = 0,
    jobs: Jobs = 1,
) -> None:
    """Drop queries that are not worth a response.

    Reads records and writes those that pass, unchanged and in order. The others go to --rejects with a
    reason:

      no-query           no user turn
      empty              no text in the last user turn
      no-substance       a greeting, a placeholder, an address, the navigation of a web page
      vague              refers to something that is not named
      missing-image      refers to an image that is not there
      denies-image       says that there is no image, but there is one
      too-long           longer than --max-chars
      no-answer          with --need-answer
      several-questions  with --one-question

    These rules need no model and know some fifteen languages.

    With --judge, a model sees what the rules keep, with its images. It drops no-substance,
    not-verifiable and, with --min, low-complexity and low-relevance. It revises an ambiguous query
    minimally. A revision that loses or inverts a word that matters, or that changes a number, a negation,
    a quotation, an answer option or the like, is refused and the record rejected as ambiguous. Of the
    revisions written to test this, it refuses all 74 that change the question and 5 of the 67 that do
    not. Scores, and the original of a revised query, are in scores["filter-queries"]. A reply that cannot
    be parsed is requested again; after that the record is rejected as no-verdict.

    The report publishes no rule, prompt, scale or threshold; these are our choice.

    Examples:
        $ qvl filter-queries records.jsonl.zst | zstdcat
        $ qvl filter-queries --need-answer --one-question records.jsonl.zst -o queries.jsonl.zst
        $ qvl filter-queries --rejects bad.jsonl.zst records.jsonl.zst -o queries.jsonl.zst
    """
    rules = QueryRules(max_chars=max_chars, need_answer=need_answer, one_question=one_question)
    if not judges.judge and (stream.resume or least or requests.max_total_tokens):
        raise UserError("--resume, --min and --max-total-tokens need --judge URL")
    with contextlib.ExitStack() as stack:
        judged, config = None, dict(vars(rules))
        if judges.judge:  # only then is what waits for endpoints imported
            from qvl.curate.rules.judged_queries import JudgedQueries
            from qvl.curate.scores import measured
            from qvl.judge import Judge, JudgeConfig

            from . import judging

            opened = judging.opener(stack, stream, requests, media)
            clients = opened(judges.judge, judges.judge_model)
            if len(clients) > 1:
                raise UserError("filter-queries takes one judge: give one --judge-model")
            prompt = judging.prompt(judges, "judge/query")
            judged = JudgedQueries(
                rules=rules,
                judge=Judge(clients[0], prompt, JudgeConfig(seed=seed, free_text=judges.free_text)),
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
