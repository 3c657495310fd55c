"""How a run samples and rewards; plain values, for the process that does both."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qvl.agent.reward import W_REASONING
from qvl.agent.settings import AgentSettings
from qvl.error_rate import MAX_ERROR_RATE
from qvl.errors import UserError
from qvl.losses import defaults
from qvl.reward.hybrid import STAGES
from qvl.reward.time_limit import VERDICT_SECONDS

# Samples per query in the report's filters (section 4.4.1); it publishes none for training.
NUM_SAMPLES = 16
QUERIES_PER_STEP = 256  # as in `qvl rl prepare`: our choice
MAX_TOKENS = 8192  # of a response: our choice
LOSSES = ("sapo", "grpo", "gspo")


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """What is sampled: for qvl.rollout.sampler."""

    model: str
    """Hugging Face folder whose weights the engine serves at first."""
    queries: tuple[str, ...]
    """Output of `qvl rl prepare`."""
    output: str
    """Folder of the run; the steps' files lie in its folder `rollouts`."""
    endpoint: str
    media_root: str
    allow_remote: bool = False
    queries_per_step: int = QUERIES_PER_STEP
    num_samples: int = NUM_SAMPLES
    """Responses per query: a group."""
    max_tokens: int = MAX_TOKENS
    concurrency: int = 256
    """Requests in flight. Our choice."""
    seed: int = 0
    held_out: tuple[str, ...] = ()
    """Records to evaluate on, greedily; never to learn from."""
    eval_samples: int = 0
    """Further responses to each of these, at temperature 1."""
    agent: AgentSettings | None = None
    """Responses are episodes of an agent with tools."""
    share_devices: bool = False
    """The engine sleeps while the trainer works, because they have the same devices."""

    def check(self) -> None:
        """UserError for a group that cannot teach."""
        if self.num_samples < 2:
            raise UserError(
                f"--num-samples {self.num_samples}: a response is compared with others of its query; "
                "expected at least 2"
            )
        if self.agent:
            self.agent.check()


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """How a response is rewarded: for qvl.rollout.rewards."""

    stage: str = "reasoning"
    """A name in qvl.reward.hybrid.STAGES."""
    verifier: str | None = None
    """The verifier of all records, in place of that of each task."""
    seconds: float = VERDICT_SECONDS
    """Time limit of a verdict."""
    partial: bool = False
    unsafe_local: bool = False
    penalties: Mapping[str, float] = field(default_factory=dict)
    """Weights of further penalties, by name."""
    judges: tuple[str, ...] = ()
    """Endpoints of judges."""
    judge_models: tuple[str, ...] = ()
    judge_prompt: str | None = None
    free_text: bool = False
    reward_models: tuple[str, ...] = ()
    reward_model_name: str | None = None
    calls_weight: float = 0.0
    """Of how well an agent's number of calls fits the record's `calls_needed`: qvl.agent.reward."""
    trajectory_judges: tuple[str, ...] = ()
    """Endpoints of judges that read an agent's trajectory: its reasoning is a part of the reward."""
    trajectory_judge_models: tuple[str, ...] = ()
    reasoning_weight: float = W_REASONING
    jobs: int = 2
    """Processes that verify. Our choice."""
    max_error_rate: float = MAX_ERROR_RATE

    def check(self) -> None:
        """UserError for an unknown stage, or models that it does not use."""
        if self.stage not in STAGES:
            raise UserError(f"--stage {self.stage}: expected one of {', '.join(STAGES)}")
        if (self.judges or self.reward_models) and self.stage != "general":
            raise UserError("--judge and --reward-model need --stage general")


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """What is learnt from the responses of a step."""

    loss: str = "sapo"
    tau_pos: float = defaults.TAU_POS
    tau_neg: float = defaults.TAU_NEG
    clip_low: float | None = None
    """Of GRPO and GSPO; None: the papers' own."""
    clip_high: float | None = None
    minibatches: int = 2
    """Optimizer steps per step: 2 in the Qwen3-VL runs of the SAPO paper, 4 in its controlled ones."""
    epochs: float = 1.0
    steps: int | None = None
    """Instead of epochs."""
    staleness: int = 0
    """Steps between the weights that sample and those that are trained."""
    pack_tokens: int = 32768
    """Tokens of a micro-batch. Our choice."""
    mask_cut: bool = False
    """Do not learn from responses that ended at the length limit."""
    mask_over_turn: bool = True
    """Do not learn from episodes that ended at the limit of turns: Mini-o3 (arXiv 2509.07969)."""
    importance_cap: float | None = None
    """Weigh tokens by min(trainer's / engine's probability, cap): truncated importance sampling."""
    max_gap: float | None = None
    """Mean difference of engine and trainer in nats per token that stops the run; None: MAX_GAP."""
    evaluate_every: int = 0
    weights: str | None = None
    """Folder for the weights that the engine loads; None: in the output. It may lie in memory."""
    stored: tuple[str, ...] = ()
    """Files of steps to learn from, without an engine."""

    def limits(self) -> dict[str, float]:
        """The clipping range that was given."""
        given = {"clip_low": self.clip_low, "clip_high": self.clip_high}
        return {name: value for name, value in given.items() if value is not None}
