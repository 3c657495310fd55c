import sys
from typing import Annotated, Any

import typer

from qvl.distill import settings as distillation
from qvl.distill.settings import DistillationSettings
from qvl.errors import UserError
from qvl.jobs import distill

from ..on_policy import LoopOptions, Minibatches, Queries, TrainingOptions
from ..options import MediaOptions
from ..training import TopK, train


def command(
    media: MediaOptions,
    loop: LoopOptions,
    training: TrainingOptions,
    queries: Queries = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TASK=]URL|DIR",
            help="Teacher of the records of TASK, or of all others: an engine, or with --over full a "
            "folder; repeat it for further tasks, or for several engines of the same teacher",
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(distillation.OVER),
            help="Tokens of each place that are compared; by default full with a folder, else top-k",
        ),
    ] = None,
    learn_as: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="|".join(distillation.LEARN_AS),
            help="Minimize the divergence, or take the sampled token's log-ratio as an advantage; by "
            "default the one that teaches with --over",
        ),
    ] = None,
    beta: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="0: forward KL; 1: reverse KL; between: generalised Jensen-Shannon divergence (our "
            "choice, as TRL's)",
        ),
    ] = DistillationSettings.beta,
    top_k: TopK = DistillationSettings.top_k,
    tail: Annotated[
        bool,
        typer.Option(
            "--tail/--no-tail", help="Count the tokens outside the top-k as one more (our choice)"
        ),
    ] = DistillationSettings.tail,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="SFT records to learn beside, so that sight stays; repeatable"
        ),
    ] = None,
    replay_share: Annotated[
        float,
        typer.Option(
            metavar="X", help="Of the sequences and of the loss, with --replay (our choice)"
        ),
    ] = DistillationSettings.replay_share,
    think_tags: Annotated[
        bool,
        typer.Option(
            "--think-tags",
            help="Put the reasoning_content of --replay into the text, between <think> and </think>, for a "
            "template that does not render it; without this flag such a record is an error",
        ),
    ] = False,
    rollouts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Learn from these scored sequences, --batch per step, without an engine; repeatable",
        ),
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            "-n", "--num-samples", metavar="N", min=1, help="Responses per query (our choice)"
        ),
    ] = 1,
    minibatches: Minibatches = 1,
    train_vision: Annotated[
        bool,
        typer.Option(
            "--train-vision",
            help="Train the vision tower and the merger, too, not the language model alone",
        ),
    ] = False,
) -> None:
    """Distil on-policy: the student samples, a teacher scores its tokens, the student learns.

    A step takes --batch queries in the order of their files and samples -n responses to each from
    --endpoint, which serves --model. The teacher scores each group as soon as it is there, and the student
    learns the divergence between the two distributions at every token of its own responses. Then the
    endpoint gets the new weights. The loop, its files and --resume are those of qvl rl sapo; a response in
    rollouts/ has the field `teacher` in place of rewards.

    The report distils with text only into the language model: the vision tower and the merger are frozen
    unless --train-vision says otherwise. It publishes no direction of the KL, and nothing of learning rate,
    teachers' sizes or how sight survives. On the twin text alone costs the student its sight, and SFT
    records with --replay keep it: docs/distillation.md.

    \b
    What is compared at each place:
      --over full     the whole vocabulary, by the hidden states of a teacher in a folder, which runs
                      at the student's --layout in the same processes
      --over top-k    the teacher's --top-k tokens, and all others as one more
      --over sampled  the sampled token: the log-ratio as an advantage, by SAPO's policy gradient

    \b
    What is refused, because it teaches nothing:
      --no-tail with --beta above 0   the student would just leave the K tokens
      a divergence --as advantage     it is the same whichever token was sampled
      --over sampled --as loss        its gradient does not depend on the teacher

    A teacher with another tokenizer or chat template, with fewer log-probs than --top-k, or with too
    short a context is an error before or at the first batch. Its requests wait minutes for an engine that
    restarts. With --max-staleness 1 it scores while the student trains.

    --rollouts learns from what qvl distill collect has stored, off-policy, without an engine or a teacher.
    --eval answers and verifies held-out records as qvl rl sapo does.

    \b
    Examples:
        $ qvl serve twin --port 0 -- qvl distill on-policy --model twin --teacher big -o better --batch 4 --max-tokens 16 --steps 1 --lr 1e-4 rl.jsonl.zst
        $ qvl serve twin --port 0 -- qvl distill on-policy --model twin --teacher {endpoint} --top-k 16 -o taught --batch 4 --max-tokens 16 --steps 1 --replay sft.jsonl.zst rl.jsonl.zst
        $ qvl distill on-policy --model twin -o stored --top-k 16 --batch 4 --steps 1 --rollouts taught/rollouts/step-000001.jsonl.zst
    """
    loop.check(queries, rollouts, "sequences that were scored")
    if queries and not teacher:
        raise UserError("no teacher; give --teacher URL, or --teacher DIR for the whole vocabulary")
    local = any(not distillation.is_address(distillation.split(each)[1]) for each in teacher or ())
    if rollouts and teacher and not local:
        raise UserError("--rollouts: the teacher's log-probs are in it; give no --teacher")
    over = over or ("full" if local else "top-k")
    frozen = () if train_vision else ("vision", "merger")
    settings = distill.DistillSettings(
        **training.settings(frozen),
        sampling=loop.sampling(training, media, queries, rollouts, num_samples=num_samples),
        rewards=loop.rewards(),
        policy=loop.policy(training, rollouts, minibatches=minibatches),
        distillation=DistillationSettings(
            teachers=tuple(teacher or ()),
            top_k=0 if over == "sampled" else top_k,
            over=over,
            learn_as=learn_as or ("advantage" if over == "sampled" else "loss"),
            beta=beta,
            tail=tail,
            replay=tuple(replay or ()),
            replay_share=replay_share,
            think_tags=think_tags,
        ),
    )
    if loop.rollouts_only:
        settings.check(1)
        distill.sample_only(settings, lambda step, found: _show({"step": step, **found}))
        return
    train(
        "distill on-policy",
        settings,
        training.nproc,
        lambda stopping: distill.run(settings, _show, stopping, _tell),
    )


def _show(row: dict[str, Any]) -> None:
    of = f" of {row['steps']}" if "steps" in row else ""
    if "evaluation" in row:
        facts = [f"{name} {value:.3f}" for name, value in row["evaluation"].items()]
        facts.insert(0, f"evaluation after step {row['step']}{of}")
    else:
        facts = [f"step {row['step']}{of}"]
        if "divergence" in row:
            facts.append(f"divergence {row['divergence']:.4f}")
        if "replay_loss" in row:
            facts.append(f"replay loss {row['replay_loss']:.4f}")
        facts += [f"{row['response_tokens']:.0f} tokens", f"cut {row['cut']:.0%}"]
        if "loss" in row:
            facts.append(f"grad norm {row['grad_norm']:.3f}")
            facts += [f"{name} {row[name]:.2g}" for name in ("gap", "drift") if name in row]
            facts += [
                f"sampled and scored in {row.get('sample_seconds', 0):.1f} s",
                f"trained in {row['score_seconds'] + row['train_seconds']:.1f} s",
            ]
    _tell(", ".join(facts))


def _tell(line: str) -> None:
    print(f"qvl distill on-policy: {line}", file=sys.stderr, flush=True)
