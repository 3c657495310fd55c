from pathlib import Path
from typing import Annotated, Any

import typer

from qvl import stage
from qvl.distill.settings import TeacherSettings, is_address
from qvl.errors import UserError

from ..options import Layout, MediaOptions, ResumableStreamOptions, ThinkTags
from ..training import StartModel, Teacher, TopK


def command(
    media: MediaOptions,
    stream: ResumableStreamOptions,
    model: StartModel,
    teacher: Teacher = None,
    layout: Layout = "",
    nproc: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Ranks of a teacher in a folder; by default those of --layout"
        ),
    ] = None,
    top_k: TopK = TeacherSettings.top_k,
    think_tags: ThinkTags = False,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests to a teacher in flight (our choice)")
    ] = TeacherSettings.teacher_concurrency,
) -> None:
    """Store a teacher's log-probs of given sequences, for any student with the same tokenizer.

    Reads records with responses, sampled with their token ids (steps of qvl distill on-policy, output of
    qvl generate --token-ids) or as text, or records that end in the answer to learn. --model is a student:
    its tokenizer and chat template make the ids. Writes one record per sequence, with one response that
    has prompt_token_ids, token_ids and

    \b
    teacher:
      name, tokenizer, k    who said it, and of which tokens
      ids, log_probs        the K likeliest tokens of each place, coded as qvl-records(5) defines
      tail                  the probability of all other tokens together
      sampled               the log-prob of the sequence's own token

    about 2 to 3 bytes per entry after zstd. The summary and --report state the bytes per token and per
    entry, and what rounding changed: the mean and the largest difference of a log-prob in nats, and the
    divergence of the stored distribution from the teacher's own per token.

    A teacher is an engine, qvl serve, vLLM (--max-logprobs K) or SGLang, or a folder, which runs on
    Megatron at --layout. Before the first sequence it must make the same token ids of a talk: another
    tokenizer or chat template is an error. So are fewer log-probs than requested, and a sequence longer
    than its context. Requests wait minutes for an engine that restarts.

    --resume continues after a kill, to the same bytes if the teacher is deterministic.

    Examples:
        $ qvl serve twin --port 0 -- qvl distill collect --model twin --teacher {endpoint} --top-k 16 sft.jsonl.zst -o teacher.jsonl.zst
        $ qvl distill collect --model twin --teacher twin --layout tp=2 --top-k 16 sft.jsonl.zst | qvl check
    """
    if not teacher:
        raise UserError("no teacher; give --teacher URL, of an engine, or --teacher DIR")
    from qvl.distill.collect import Collect
    from qvl.pack.render import Renderer

    renderer = Renderer(
        Path(model),
        media_root=media.root(stream.files),
        allow_remote=media.allow_remote,
        last_only=True,
        think_tags=think_tags,
    )
    settings = TeacherSettings(
        teachers=tuple(teacher), top_k=top_k, teacher_concurrency=concurrency
    )
    with (
        _opened(settings, renderer, layout, nproc) as teachers,
        stream.run(
            "distill collect",
            config={"teachers": teachers.names, "tokenizer": teachers.tokenizer, "top_k": top_k}
            | {"think_tags": think_tags},
            sound=True,
        ) as run,
    ):
        collect = Collect(teachers)
        scored = stage.submit_each(
            run,
            collect.submit,
            records=collect.sequences(run),
            concurrency=concurrency,
            watch=collect.watch,
        )
        run.write(scored)
        run.note(**collect.facts())


def _opened(settings: TeacherSettings, renderer: Any, layout: str, nproc: int | None) -> Any:
    """The context of the teachers: at endpoints, or one in a folder."""
    places = [place for each in settings.by_task.values() for place in each]
    folders = [place for place in places if not is_address(place)]
    if not folders:
        if layout or nproc:
            raise UserError("--layout and --nproc are for --teacher DIR; an engine has its own")
        from qvl.distill.teacher import Teachers

        return Teachers(settings, renderer)
    if len(places) > 1:
        raise UserError(f"--teacher {folders[0]}: a folder is the only teacher; give one")
    from qvl.jobs.collect import MegatronTeacher
    from qvl.model.layout import parse_layout

    ranks = nproc or parse_layout(layout).fewest_ranks
    return MegatronTeacher(folders[0], settings, renderer, layout=layout, ranks=ranks)
