"""Learning on-policy: the job of `qvl rl sapo`, and the loop of qvl.jobs.distill.

A step: an engine samples responses to each query, they get a signal (rewards, or a teacher's log-probs), and
the trainer learns from it in a few mini-batches; then the engine gets the new weights. Every rank runs this;
rank 0 has another process that samples and gets the signal (qvl.rollout.sampler).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from qvl import threads
from qvl.agent.settings import AgentSettings
from qvl.errors import UserError
from qvl.imports import gc_frozen
from qvl.io import jsonl
from qvl.jobs.export import SKELETON
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.rollout import figures
from qvl.rollout.queries import Queries
from qvl.rollout.run_folder import ROLLOUTS, SETTINGS, rollouts
from qvl.rollout.sampler import SamplerProcess, version
from qvl.rollout.schedule import Schedule, Stored
from qvl.rollout.settings import LOSSES, PolicySettings, RewardSettings, SamplingSettings
from qvl.settings import (
    Checkpointing,
    Logging,
    ModelSettings,
    Optimization,
    check_choice,
    check_model,
    check_optimization,
    check_output,
    flat,
)
from qvl.train.log import Show, TrainingLog


@dataclass(frozen=True, kw_only=True)
class RlSettings:
    """The settings of a run, each part for its reader."""

    model: ModelSettings
    sampling: SamplingSettings
    rewards: RewardSettings
    policy: PolicySettings
    optimization: Optimization
    checkpointing: Checkpointing
    logging: Logging

    @property
    def finished(self) -> bool:
        """Whether a run to be resumed has taken the steps that are wanted now: more may be than before."""
        if not self.checkpointing.finished:
            return False
        known = Path(self.checkpointing.output) / SETTINGS
        return not known.exists() or self._steps() <= orjson.loads(known.read_bytes())["steps"]

    def check(self, ranks: int) -> None:
        """UserError for what a user must correct before `ranks` processes are started."""
        self.sampling.check()
        check_choice("--loss", self.policy.loss, LOSSES)
        self.check_run(ranks)

    def stored(self) -> Stored:
        """The steps to learn from without an engine."""
        return Stored(self.policy.stored)

    def sampler(self) -> SamplerProcess:
        """The process that samples and gets the signal."""
        return SamplerProcess(self.sampling, self.rewards)

    def objective(self) -> Any:
        """What is learnt, a qvl.train.learner.Objective; once ranks have started."""
        from qvl.train.policy import PolicyObjective

        return PolicyObjective(self.policy)

    def figures(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Of the records of a step, for the log."""
        return figures.of_step(records)

    def _steps(self) -> int:
        """The number of steps that are wanted, without an engine."""
        policy, sampling = self.policy, self.sampling
        if policy.steps:
            return policy.steps
        if policy.stored:
            return self.stored().num_steps(policy.epochs)
        return Queries(sampling.queries, sampling.queries_per_step).num_steps(policy.epochs)

    def check_run(self, ranks: int) -> None:
        """UserError for what any run of this loop needs."""
        check_model(self.model, ranks)
        self.rewards.check()
        check_optimization(self.optimization)
        check_output(self.checkpointing, self.model.model)
        if self.sampling.share_devices and self.policy.staleness:
            raise UserError(
                "--share-devices: an engine that sleeps meanwhile needs --max-staleness 0"
            )
        for path in (*self.sampling.queries, *self.sampling.held_out, *self.policy.stored):
            if not Path(path).is_file():
                raise UserError(f"{path}: no such file; a run reads its files again, so not a pipe")


def run(
    settings: RlSettings,
    show: Show,
    stopping: Callable[[], bool],
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train. `show` gets a row per step, and `tell` what was chosen, on rank 0; `stopping` is consulted
    after each step.

    Returns how the run ended: `step`, `steps`, `stopped`. A stopped run has left a checkpoint.
    """
    with gc_frozen():
        from qvl.megatron import parallel

    with parallel.started(parse_layout(settings.model.layout), seed=settings.sampling.seed):
        if settings.policy.stored or parallel.rank():
            return _train(settings, None, show, stopping, tell)
        with settings.sampler() as process:
            return _train(settings, process, show, stopping, tell)


def _train(
    settings: RlSettings,
    process: SamplerProcess | None,
    show: Show,
    stopping: Callable[[], bool],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    with gc_frozen():  # Megatron can be imported only now
        from qvl.megatron import parallel, weights
        from qvl.model import flops
        from qvl.train.build import load_model, make_trainer
        from qvl.train.learner import Learner
        from qvl.train.loop import TrainingLoop, check_same_run

    policy, output = settings.policy, Path(settings.checkpointing.output)
    output.mkdir(parents=True, exist_ok=True)
    width = load_shape(Path(settings.model.model)).hidden
    number_of_threads = threads.choose(width, settings.model.threads)
    source, model = load_model(settings.model)
    if policy.stored:
        schedule: Schedule | Stored = settings.stored()
    else:
        schedule = Schedule(
            process,
            parallel.on_first,
            output,
            staleness=policy.staleness,
            evaluate_every=policy.evaluate_every,
        )
    steps, identity = _identity(settings, schedule)
    known = output / SETTINGS
    if settings.checkpointing.resume and known.exists() and (output / ROLLOUTS).exists():
        # Before the first checkpoint, too: steps that were sampled are not sampled again.
        check_same_run(known, orjson.loads(known.read_bytes()).get("identity", {}), identity)
    optimizer_steps = steps * policy.minibatches
    trainer = make_trainer(model, settings.model, settings.optimization, optimizer_steps)
    loop = TrainingLoop(
        trainer,
        replace(settings.checkpointing, max_jump=0.0),  # this loss has no level to jump from
        steps,
        identity=identity,
        stopping=stopping,
        before_save=schedule.settle,
        tell=tell if parallel.rank() == 0 else lambda line: None,
    )
    log = None
    if parallel.rank() == 0:
        source.write_skeleton(output / "checkpoints" / SKELETON)
        peak = flops.peak_of_all(settings.logging.peak_teraflops, parallel.world())
        tell(f"{threads.described(number_of_threads)} per rank")
        if settings.checkpointing.resume:
            (output / "config.json").unlink(missing_ok=True)  # of fewer steps: not finished
        log = TrainingLog(output, settings.logging, show, steps=steps, peak=peak)
        facts = {"ranks": parallel.world(), "threads": number_of_threads, "identity": identity}
        log.begin({**flat(settings), "steps": steps, **facts}, loop.first, "rl")

    def engine_weights(number: int) -> Path:
        """The folder of the weights after a step, which are the trainer's now."""
        if not number:
            return Path(settings.model.model)
        folder = Path(policy.weights or output / "weights") / version(number)
        trainer.wait_for_parameters()
        weights.write(model, source, folder)
        return folder

    objective = settings.objective()
    learner = Learner(policy, settings.model, settings.sampling, trainer, objective)
    schedule.begin(loop.first, steps, engine_weights)
    waited = 0.0
    for number in loop:
        began = time.monotonic()
        records = schedule.records(number)
        learner.read(number, records, schedule.expected(number))
        sampled = time.monotonic()
        waited += sampled - began
        learner.score(number)
        schedule.keep(number, records, learner.log_probs())
        scored = time.monotonic()
        done = learner.learn(loop, log)
        trained = time.monotonic()
        schedule.trained(number, engine_weights)
        if log:
            evaluations = schedule.evaluations()
            phases = {
                "wait_seconds": sampled - began,
                "score_seconds": scored - sampled,
                "train_seconds": trained - scored,
                "weights_seconds": time.monotonic() - trained,
                **schedule.phases(began, sampled),
            }
            extra = {
                **settings.figures(records),
                **learner.figures,
                **{name: round(value, 3) for name, value in phases.items()},
            }
            log.step(
                number, done, tokens=learner.tokens, flops=learner.work, waited=waited, extra=extra
            )
            for step, found in evaluations:
                log.evaluation(step, found)
    if loop.finished:
        schedule.settle()
        trainer.wait_for_parameters()
        weights.write(model, source, output)
    if log:
        for step, found in schedule.evaluations(all_of_them=loop.finished):
            log.evaluation(step, found)
        log.close()
    parallel.barrier()
    return {"step": loop.number, "steps": steps, "stopped": not loop.finished}


def sample_only(settings: RlSettings, show: Callable[[int, dict[str, Any]], None]) -> None:
    """Sample and reward the steps with the model's weights, and train nothing.

    show: gets the number of each step and its figures.
    """
    Path(settings.sampling.output).mkdir(parents=True, exist_ok=True)
    with settings.sampler() as process:
        opened = process.put("open", settings.policy.epochs).result()
        process.put("load", Path(settings.model.model), version(0)).result()
        steps = range(1, (settings.policy.steps or opened.steps) + 1)
        for number, done in [(number, process.put("sample", number)) for number in steps]:
            done.result()
            path = rollouts(settings.sampling.output, number)
            show(number, settings.figures(list(jsonl.read(str(path)))))


def _identity(settings: RlSettings, schedule: Schedule | Stored) -> tuple[int, dict[str, Any]]:
    """The number of steps, and what a run that is resumed must have in common with its checkpoint.

    Not the number of steps: the learning rate is constant, so a run of more steps begins as one of fewer.
    """
    policy, sampling = settings.policy, settings.sampling
    if isinstance(schedule, Stored):
        steps = policy.steps or schedule.num_steps(policy.epochs)
        return steps, {"stored": list(policy.stored)}
    opened = schedule.open(policy.epochs)
    steps = policy.steps or opened.steps
    return steps, {
        "queries": opened.digest,
        "batch": sampling.queries_per_step,
        "num_samples": sampling.num_samples,
        "max_tokens": sampling.max_tokens,
        "minibatches": policy.minibatches,
        "staleness": policy.staleness,
        "seed": sampling.seed,
        **(_agent(sampling.agent) if sampling.agent else {}),
    }


def _agent(agent: AgentSettings) -> dict[str, Any]:
    return {
        "tools": list(agent.tools.names),
        "max_turns": agent.max_turns,
        "max_calls": agent.max_calls,
        "max_turn_tokens": agent.max_turn_tokens,
        "max_context": agent.max_context,
    }
