"""The signal of reinforcement learning: a group of responses gets its rewards, while other groups are
still being sampled, and each response its advantage over the others."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qvl.agent.reward import with_parts
from qvl.error_rate import ErrorRate
from qvl.losses.advantages import group_advantages
from qvl.pending import Gather, Pending
from qvl.processes import Pool
from qvl.reward.hybrid import STAGES
from qvl.reward.penalties import PENALTIES
from qvl.reward.verify import Verify
from qvl.rollout.settings import RewardSettings, SamplingSettings


class Rewarder:
    """Rewards the responses of records; used as a context.

    Verifiers run in processes of their own, so that a slow verdict stalls its own group only. Where
    judges or a reward model take part, rules run between the requests to them.
    """

    def __init__(self, settings: RewardSettings, sampling: SamplingSettings) -> None:
        self.settings, self.sampling = settings, sampling
        self._verify = Verify(
            settings.verifier,
            settings.seconds,
            settings.partial,
            settings.unsafe_local,
            stage=settings.stage,
            penalties={**_measured(settings.stage), **settings.penalties},
        )
        self._stack = contextlib.ExitStack()
        self._judged: Any = None
        self._reasoning: Sequence[Any] = ()
        self._errors = ErrorRate(settings.max_error_rate)

    def __enter__(self) -> "Rewarder":
        if self.settings.judges or self.settings.reward_models:
            self._judged = self._by_models()
        else:
            jobs = self.settings.jobs
            self._pool = self._stack.enter_context(Pool(self._verify, jobs))
            self._threads = ThreadPoolExecutor(jobs)
            self._stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
        if self.settings.trajectory_judges:
            self._reasoning = self._judges_of_trajectories()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def submit(self, record: dict[str, Any]) -> Pending:
        """The pending record with reward, rewards and verdict on each response."""
        if self._judged is not None:
            rewarded = self._judged.submit(record)
        else:
            rewarded = self._threads.submit(self._by_rules, record)
        return self._with_parts(record, rewarded)

    def _with_parts(self, record: dict[str, Any], rewarded: Pending) -> Pending:
        """The pending record with the parts of an agent's reward, where they are wanted."""
        settings, judges = self.settings, self._reasoning
        if not (settings.calls_weight or judges):
            return rewarded
        responses = list(enumerate(record["responses"]))
        asked = [each for pair in responses for each in self._asked(record, *pair)]

        def combine(found: list[Any]) -> dict[str, Any]:
            done, *said = found
            count = len(judges)
            rows = [said[at : at + count] for at in range(0, len(said), count or 1)]
            values = [_reasoning_of(judges, row) for row in rows] if judges else None
            return with_parts(done, settings.calls_weight, values, settings.reasoning_weight)

        return Gather([rewarded, *asked], combine)

    def _asked(self, record: dict[str, Any], place: int, response: dict[str, Any]) -> Sequence[Any]:
        if not self._reasoning:
            return ()
        from qvl.agent.scoring import ask_reasoning

        return ask_reasoning(self._reasoning, record, place, response)

    def complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """The rewarded record with the advantages. CheckFailed where too many have no verdict."""
        responses = record["responses"]
        failed = [each["verdict"] for each in responses if each["reward"] is None]
        example = f"record {record.get('id')!r}: {failed[0]['detail']}" if failed else ""
        self._errors.add(len(responses), len(failed), example)
        advantages = group_advantages([each["reward"] for each in responses])
        pairs = zip(responses, advantages, strict=True)
        return {**record, "responses": [{**each, "advantage": x} for each, x in pairs]}

    def check(self) -> None:
        """CheckFailed where too many have no verdict, also of a few."""
        self._errors.check()

    def _by_rules(self, record: dict[str, Any]) -> dict[str, Any]:
        reply = self._pool([record])
        if reply.error:
            raise reply.error
        return reply.results[0]

    def _by_models(self) -> Any:
        """Rewards with parts by judges or a reward model; only now are their clients imported."""
        from qvl.judge import Judge, JudgeConfig
        from qvl.judge.prompt import Prompt
        from qvl.judge.reward_model import RewardModel
        from qvl.reward.judged import JudgedRewards

        settings = self.settings
        path = settings.judge_prompt
        prompt = Prompt.file(path) if path else Prompt.named("judge/reward")
        config = JudgeConfig(seed=self.sampling.seed, free_text=settings.free_text)
        judges = self._open(settings.judges, settings.judge_models)
        name = settings.reward_model_name
        scorer = self._open(settings.reward_models, (name,) if name else ())
        return JudgedRewards(
            verify=self._verify,
            judges=[Judge(each, prompt, config) for each in judges],
            model=RewardModel(*scorer) if scorer else None,
        )

    def _judges_of_trajectories(self) -> Sequence[Any]:
        from qvl.judge import Judge, JudgeConfig
        from qvl.judge.prompt import Prompt

        settings = self.settings
        prompt = Prompt.named("judge/trajectory")
        config = JudgeConfig(seed=self.sampling.seed, free_text=settings.free_text)
        opened = self._open(settings.trajectory_judges, settings.trajectory_judge_models)
        return [Judge(each, prompt, config) for each in opened]

    def _open(self, urls: Sequence[str], models: Sequence[str]) -> Sequence[Any]:
        from qvl.judge import panel

        if not urls:
            return []
        return panel.open_clients(
            self._stack,
            urls,
            models,
            root=Path(self.sampling.media_root),
            allow_remote=self.sampling.allow_remote,
            concurrency=self.sampling.concurrency,
        )


def _reasoning_of(judges: Sequence[Any], found: Sequence[Any]) -> float | None:
    from qvl.agent.scoring import reasoning_of  # only with judges are their clients imported

    return reasoning_of(judges, found)


def _measured(stage: str) -> dict[str, float]:
    """The penalties that are no part of a stage's reward, at no weight: their rates are reported."""
    row = STAGES[stage]["verifiable"]
    return {name: 0.0 for name in PENALTIES if name not in row}
